import { Fragment, address, baseOf, brief, digestOf, get, html, plural, pushAddress, short, useAnswer, useEffect, useRef, useState } from "../lib.js";
import { Act, Command, Copy, Digest, Empty, Holds, Icon, Image, Moved, Section, State, Time, Wait, When } from "../ui.js";

export default function Task({ query }) {
  const { value: task, problem } = useAnswer("/api/task", { name: query.name, before: query.before });
  if (!task) return html`<h1>${query.name}</h1><${Wait} problem=${problem} what=${query.name} />`;
  const { row } = task;
  const head = row.last;
  const stands = row.bases.filter((base) => base.behind);
  return html`<${Fragment}>
    <div class="head">
      <div><p class="crumbs"><a href="/tasks">Images</a></p><h1>${row.task.name} <${State} is=${row.standing} /></h1></div>
      <div class="buttons">
        <a class="button" href=${address("/graph", { focus: row.task.name, depth: 2 })}><${Icon} name="graph" /> Graph</a>
        <a class="button" href=${task.portal} target="_blank" rel="noreferrer noopener"><${Icon} name="link" /> Azure portal</a>
        <${Act} what="retry" small=${false} of=${[`${row.task.id}#${head?.sequence ?? 0}`]} target=${{ scope: "task", pattern: row.task.name }} about=${row.task.name} />
        <${Act} what="build" small=${false} of=${[`${row.task.id}#${head?.sequence ?? 0}`]} target=${{ scope: "task", pattern: row.task.name }} about=${row.task.name} />
        <${Act} what="pause" small=${false} target=${{ scope: "task", pattern: row.task.name }} about=${row.task.name} label="Hold until …" />
      </div>
    </div>
    ${problem && html`<${Wait} problem=${problem} />`}
    <${WhyNot} task=${task} stands=${stands} />
    <${Section} title="What it stands on" id="bases" count=${row.bases.length}>
      ${row.bases.length === 0 ? html`<${Empty}>Nothing is known of what it reads. The sources below say why.</${Empty}>` : html`<div class="scroll" tabindex="0" role="region" aria-label="Its images, each with what it was built on"><table>
        <thead><tr><th scope="col">Image</th><th scope="col">Used as</th><th scope="col">Built on</th><th scope="col">Names now</th><th scope="col">Since</th><th scope="col">State</th><th scope="col">Known from</th></tr></thead>
        <tbody>${row.bases.map((base) => html`<tr key=${base.image + base.kind}>
          <td><a href=${address("/graph", { focus: base.image, depth: 2 })}><${Image} name=${base.image} /></a></td><td>${base.kind}</td>
          <td><${Digest} of=${base.builtOn} /></td><td>${base.push ? html`<a href=${pushAddress(base.push)}><${Digest} of=${base.now} bare /></a>` : html`<${Digest} of=${base.now} bare />`}</td>
          <td>${base.since ? html`<${Time} at=${base.since} />` : html`<span class="muted">nobody told</span>`}</td>
          <td><${State} is=${base.behind === null ? "unknown" : base.behind ? "stale" : "current"} word=${base.behind === null ? "unknown" : base.behind ? "behind" : "current"} /></td><td>${base.knownFrom}</td>
        </tr>`)}</tbody></table></div>`}
    </${Section}>
    <${Section} title="What the sources say" id="sources">
      ${task.disagreements.length > 0 && html`<ul class="plain">${task.disagreements.map((text) => html`<li key=${text} class="note stale"><${Icon} name="warn" /> ${text}</li>`)}</ul>`}
      <div class="sources">${task.sources.map((source) => html`<div key=${source.source}><h3>${source.source}</h3>
        ${source.problem && html`<p class="note stale"><${Icon} name="warn" /> ${source.problem}</p>`}
        ${source.images.length === 0 && !source.problem && html`<p class="muted">It names no image.</p>`}
        <ul class="plain">${source.images.map((said, number) => html`<li key=${number}><${Image} name=${said.image} /> <span class="muted">${said.kind}</span>${said.builtOn && html` <${Digest} of=${said.builtOn} bare />`}${said.where && html`<div class="muted where">${said.where}</div>`}</li>`)}</ul>
        ${source.remark && html`<p class="muted">${source.remark}</p>`}
        ${source.revision && html`<p class="muted">read at <code>${source.revision}</code></p>`}</div>`)}</div>
      <p class="muted">Its runs make: ${task.makes || "unknown"}${task.pushes.length > 0 && html` (${task.pushes.map((name) => html`<code key=${name}>${name}</code> `)})`}${task.because && `, ${task.because}`}. Read <${Time} at=${row.readAt} />.</p>
      ${task.warnings.map((text) => html`<p class="note stale" key=${text}><${Icon} name="warn" /> ${text}</p>`)}
      ${task.missing.length > 0 && html`<p class="note fail"><${Icon} name="warn" /> It lacks values for: ${task.missing.join(", ")}</p>`}
    </${Section}>
    <${Policies} name=${row.task.name} />
    <${Section} title="Attempts" id="attempts" count=${task.attempts.length}>
      ${task.attempts.length === 0 && html`<${Empty}>It was never rebuilt from here.</${Empty}>`}
      <ol class="line" reversed>${task.attempts.map((attempt) => html`<${Attempt} key=${attempt.id} attempt=${attempt} head=${attempt.id === head?.id} />`)}</ol>
      <div class="buttons">${query.before && html`<a class="button" href=${address("/task", { name: query.name })}>Newest</a>`}
        ${task.before !== null && html`<a class="button" href=${address("/task", { name: query.name, before: task.before })}>Older</a>`}</div>
    </${Section}>
  </${Fragment}>`;
}

function WhyNot({ task, stands }) {
  const { row } = task;
  const head = row.last;
  const retry = `rebuilder retry ${row.task.name}`;
  const letters = task.letters.length > 0 && html`<p class="note fail"><${Icon} name="warn" /> ${plural(task.letters.length, "dead letter")} about it: <a href="/health">Health</a></p>`;
  let told;
  switch (row.standing) {
    case "current":
      told = html`<p>It stands on what its tags name now.</p>`;
      break;
    case "waiting":
      told = html`<p>It is to be rebuilt on ${stands.map((base) => brief(base.image)).join(", ") || "a newer base"}, and waits:</p><${Holds} attempt=${head} />`;
      break;
    case "building":
      told = html`<p>${head.runId ? html`Run <code>${head.runId}</code> is under way` : "A run is about to be started"}, since <${Time} at=${head.claimedAt} />.</p>`;
      break;
    case "retrying":
      told = html`<p>Attempt ${head.attempt} failed. The next one is due ${head.due ? html`<${Time} at=${head.due} end />` : "soon"}.</p>${head.cause && html`<p>${head.cause}</p>`}`;
      break;
    case "failed":
      told = html`<p>Given up after ${plural(head.attempt, "attempt")}${head.outcome && `: ${head.outcome}`}. A newer image is tried again by itself.</p>${head.cause && html`<p>${head.cause}</p>`}${head.advice && html`<p>To mend it: ${head.advice}</p>`}<${Command} text=${retry} />`;
      break;
    case "stale":
      told = html`<p>It is behind ${stands.map((base) => brief(base.image)).join(", ")}, and nothing is under way.${head?.checkReason && ` Its last rebuild left it so: ${head.checkReason}.`}</p><${Command} text=${retry} />`;
      break;
    default:
      told = html`<p>Nobody can say whether it is behind: ${task.sources.find((source) => source.problem)?.problem ?? "no digest is recorded for one of its images, or no push was told"}.</p>`;
  }
  return html`<div class="banner why ${{ failed: "fail", stale: "stale", waiting: "wait", retrying: "wait", building: "run", current: "good" }[row.standing] ?? "none"}"><div>${told}${letters}</div></div>`;
}

function Policies({ name }) {
  const { value, problem } = useAnswer("/api/policies/task", { name });
  return html`<${Section} title="Policies" id="task-policies" aside=${html`<a href=${address("/policies", { task: name })}>Policies</a>`}>
    ${!value ? html`<${Wait} problem=${problem} what="what applies" />` : value.applies.length === 0 ? html`<${Empty}>It follows no tag that is known.</${Empty}>` : html`<${Applies} applies=${value.applies} />`}
  </${Section}>`;
}

export const Applies = ({ applies }) => html`<div class="sources">${applies.map((each) => html`<div key=${each.base}><h3>when <${Image} name=${each.base} /> moves</h3>
  <dl class="values">${each.values.map((said) => html`<div key=${said.name}><dt>${said.name}</dt><dd>${said.value} <span class="muted">${said.sources.join("; ") || "by default"}</span></dd></div>`)}</dl>
  <p class="muted">Pushed now: ${each.now.length ? each.now.join("; ") : "it would be rebuilt at once"}.</p></div>`)}</div>`;

function Attempt({ attempt, head }) {
  return html`<li class=${attempt.state.replace(" ", "-")}>
    <div class="row"><${State} is=${attempt.state} /><span class="muted">#${attempt.sequence}</span><${When} at=${attempt.claimedAt} />
      ${attempt.runId && html`<span>run <code>${attempt.runId}</code></span>`}
      ${attempt.attempt > 1 && html`<span class="muted">attempt ${attempt.attempt} on these digests</span>`}
      ${attempt.finishedAt && html`<span class="muted">over <${Time} at=${attempt.finishedAt} /></span>`}</div>
    <div class="row sub">because ${attempt.bases.map((base) => html`<span key=${base}><${Image} name=${baseOf(base)} /> came to name <code class="digest" title=${digestOf(base)}>${short(digestOf(base))}</code></span>`)} <a href=${pushAddress(attempt.push)}>the push</a></div>
    ${head && attempt.waits.length > 0 && html`<${Holds} attempt=${attempt} />`}
    ${attempt.outcome && attempt.outcome !== "Succeeded" && attempt.waits.length === 0 && html`<div class="row sub muted">${attempt.outcome}</div>`}
    ${attempt.check && html`<div class="row sub"><${State} is=${attempt.check === "new" ? "current" : attempt.check} word=${{ new: "stands on it", stale: "still on the old base", unknown: "not known what it stands on" }[attempt.check]} /> <span class="muted">${attempt.checkReason}</span></div>`}
    ${attempt.cause && html`<p>${attempt.cause}</p>`}
    ${attempt.advice && html`<p class="note stale"><${Icon} name="warn" /> ${attempt.advice}</p>`}
    <div class="folds">${attempt.log && html`<details><summary>The lines that matter</summary><pre tabindex="0">${attempt.log}</pre></details>`}
    ${attempt.outputs.length > 0 && html`<details><summary>${plural(attempt.outputs.length, "image")} pushed</summary><ul class="plain">${attempt.outputs.map((output) => html`<li key=${output}><code class="long">${output}</code> <${Copy} text=${output} what="reference" /></li>`)}</ul></details>`}
    ${attempt.runId && html`<${Log} registry=${attempt.task.name.split("/")[0]} run=${attempt.runId} />`}</div>
  </li>`;
}

function Log({ registry, run }) {
  const [lines, set] = useState(null);
  const [problem, setProblem] = useState(null);
  const [over, setOver] = useState(false);
  const [asked, setAsked] = useState(false);
  const open = useRef(false);
  const place = useRef("");
  useEffect(() => () => { open.current = false; }, []);
  const follow = async () => {
    while (open.current) {
      let part;
      try {
        part = await get("/api/log", { registry, run, place: place.current }, { cache: "no-store" });
      } catch (error) {
        setProblem(error);
        return;
      }
      if (!open.current) return;
      place.current = part.place;
      set((before) => [...(before ?? (part.leftOut ? [`… ${part.leftOut} bytes before this are left out`] : [])), ...part.lines]);
      setOver(part.over);
      if (part.over) return;
      if (!part.more) await new Promise((done) => setTimeout(done, 3000));
    }
  };
  const toggle = (event) => {
    open.current = event.target.open;
    if (open.current) setAsked(true);
    if (open.current && !over) follow();
  };
  return html`<details onToggle=${toggle}><summary>The run's log</summary>
    ${problem && html`<p class="note stale"><${Icon} name="warn" /> ${problem.message}</p><${Command} text="rebuilder logs ${run}" />`}
    ${lines && html`<pre tabindex="0" class="log">${lines.join("\n")}</pre>${!over && !problem && html`<p class="muted">It grows.</p>`}`}
    ${asked && !lines && !problem && html`<${Wait} what="the log" />`}
  </details>`;
}
