import { Fragment, address, ask, html, may, post, plural, useAnswer, useEffect, useSignal, inUtc, useState } from "../lib.js";
import { Act, Empty, Icon, Image, Section, Time, Wait, When } from "../ui.js";
import { Applies } from "./task.js";

export default function Policies({ query }) {
  const { value: found, problem } = useAnswer("/api/policies");
  return html`<${Fragment}>
    <div class="head"><h1>Policies</h1>${found?.versions.length > 0 && html`<p class="muted">version ${found.versions[0].number}, applied <${Time} at=${found.versions[0].at} /></p>`}</div>
    ${!found ? html`<${Wait} problem=${problem} what="the policy file" />` : html`
      ${found.problem && html`<p class="banner fail"><${Icon} name="warn" /> <span><strong>The newest file is not in force.</strong> ${found.problem}</span></p>`}
      ${found.mode === "observe" && html`<p class="banner run"><${Icon} name="ask" /> Observing: nothing is started.</p>`}
      <${Section} title="In force" id="in-force" count=${found.policies.length || undefined}>
        ${found.policies.length === 0 && html`<${Empty}>There is no policy: whatever is to be rebuilt is rebuilt at once.</${Empty}>`}
        <div class="sources">${found.policies.map((policy) => html`<div key=${policy.name}><h3>${policy.name}${policy.selectable && " (tasks may select it)"}</h3>
          ${policy.values.length === 0 && html`<p class="muted">It says nothing.</p>`}
          <dl class="values">${policy.values.map((said) => html`<div key=${said.name}><dt>${said.name}</dt><dd>${said.value}</dd></div>`)}</dl>
          ${policy.opens && html`<p class="muted">${new Date(policy.opens) <= Date.now() ? "It is open now." : html`It opens <${Time} at=${policy.opens} end />.`}</p>`}</div>`)}</div>
        ${found.rules.length > 0 && html`<p class="muted">${plural(found.rules.length, "rule")}: ${found.rules.join("; ")}</p>`}
      </${Section}>
      ${found.policies.filter((policy) => policy.open.length > 0).map((policy) => html`<${Week} key=${policy.name} policy=${policy} begins=${found.begins} />`)}
      <${Section} title="Freezes" id="freezes" count=${found.freezes.length || undefined}>
        ${found.freezes.length === 0 ? html`<${Empty}>None is to come.</${Empty}>` : html`<ul class="rows">${found.freezes.map((freeze) => html`<li key=${freeze.name} class="row"><strong>${freeze.name}</strong><span><${When} at=${freeze.begins} /> to <${When} at=${freeze.ends} /></span><span class="muted">begins <${Time} at=${freeze.begins} /></span></li>`)}</ul>`}
      </${Section}>
      <${OfTask} name=${query.task} />
      <${TryOut} text=${found.text} token=${found.token} task=${query.task} />
      <${Section} title="Versions" id="versions" count=${found.versions.length || undefined}>
        ${found.versions.length === 0 && html`<${Empty}>None was applied.</${Empty}>`}
        <ul class="rows">${found.versions.map((version, number) => html`<li key=${version.number} class="row"><strong>${version.number}</strong><${When} at=${version.at} /><span>${version.who || "somebody"}</span><span class="muted">${version.because}</span>${number > 0 && version.number > 0 && html`<${Act} what="rollback" more=${{ number: version.number, before: found.token }} about="the policy file of version ${version.number}" label="Go back to ${version.number}" />`}</li>`)}</ul>
        ${!may("apply") && html`<p class="muted">To apply one, or to go back: <code>rebuilder policy apply</code>, <code>rebuilder policy rollback</code>.</p>`}
      </${Section}>`}
  </${Fragment}>`;
}

function Week({ policy, begins }) {
  const utc = useSignal(inUtc);
  const first = Date.parse(begins);
  const days = new Map();
  policy.open.forEach((open, number) => {
    const at = new Date(first + number * 3_600_000);
    const key = utc ? at.toISOString().slice(0, 10) : `${at.getFullYear()}-${String(at.getMonth() + 1).padStart(2, "0")}-${String(at.getDate()).padStart(2, "0")}`;
    const hour = utc ? at.getUTCHours() : at.getHours();
    if (!days.has(key)) days.set(key, new Map());
    days.get(key).set(hour, open);
  });
  const hours = [...Array(24).keys()];
  return html`<${Section} title="When ${policy.name} is open" id="week-${policy.name}">
    <div class="scroll" tabindex="0" role="region" aria-label="The week of ${policy.name}"><table class="week"><thead><tr><th scope="col">${utc ? "UTC" : "Local"}</th>${hours.map((hour) => html`<th scope="col" key=${hour}>${hour}</th>`)}</tr></thead>
      <tbody>${[...days].map(([key, open]) => html`<tr key=${key}><th scope="row">${key}</th>${hours.map((hour) => html`<td key=${hour} class=${open.get(hour) ? "open" : ""}><span title="${key} ${hour}:00 ${open.get(hour) === undefined ? "not looked at" : open.get(hour) ? "open" : "closed"}"><span class="unseen">${open.get(hour) === undefined ? "not looked at" : open.get(hour) ? "open" : "closed"}</span></span></td>`)}</tr>`)}</tbody></table></div>
  </${Section}>`;
}

function OfTask({ name }) {
  const [text, set] = useState(name ?? "");
  useEffect(() => set(name ?? ""), [name]);
  const { value, problem } = useAnswer(name ? "/api/policies/task" : "", { name });
  return html`<${Section} title="What applies to a task" id="applies">
    <form class="filters" onSubmit=${(event) => { event.preventDefault(); ask({ task: text.trim() }); }}><label>Task<input type="text" value=${text} size="32" placeholder="REGISTRY/TASK" onInput=${(event) => set(event.target.value)} /></label><button type="submit">Look</button></form>
    ${name && (value ? html`<${Applies} applies=${value.applies} />` : html`<${Wait} problem=${problem} what=${name} />`)}
    <p class="muted">What the task's own tags tighten is not known here: <code>rebuilder policy show REGISTRY/TASK</code> asks ARM.</p>
  </${Section}>`;
}

function TryOut({ text, token, task }) {
  const [file, set] = useState(null);
  const [began, setBegan] = useState(""); // the version that was there when somebody began to change it
  const [found, setFound] = useState(null);
  const [problem, setProblem] = useState(null);
  const shown = file ?? text ?? "version: 1\n";
  // Once it is applied, it is what is there.
  useEffect(() => {
    if (file !== null && file === text) set(null);
  }, [text]);
  const send = async (event) => {
    event.preventDefault();
    try {
      setFound({ tried: shown, ...(await post("/api/policies/try", { text: shown, task: task ?? "" })) });
      setProblem(null);
    } catch (error) {
      setProblem(error);
    }
  };
  return html`<${Section} title="The file, and trying out a changed one" id="file">
    <form onSubmit=${send}><label class="wide">policy.yaml<textarea spellcheck="false" value=${shown} onInput=${(event) => { if (file === null) setBegan(token); set(event.target.value); }}></textarea></label>
      <div class="buttons"><button type="submit">Try it out</button>${file !== null && html`<button type="button" onClick=${() => { set(null); setFound(null); }}>Back to what is there</button>`}<span class="muted">Nothing is changed by it.</span></div></form>
    ${problem && html`<${Wait} problem=${problem} />`}
    ${file !== null && began !== token && html`<p class="note stale"><${Icon} name="warn" /> Another file was applied since you began: yours is not put in force over it. Go back to what is there, and change that.</p>`}
    <div role="status">${found && (found.faults.length > 0
      ? html`<ul class="plain">${found.faults.map((fault) => html`<li key=${`${fault.line}:${fault.column}${fault.problem}`} class="note fail"><${Icon} name="warn" /> line ${fault.line}, column ${fault.column}: ${fault.problem}</li>`)}</ul>`
      : html`<p class="note good"><${Icon} name="check" /> It can be applied: ${plural(found.policies.length, "policy", "policies")}.</p>`)}</div>
    ${found?.faults.length === 0 && found.tried === file && html`<p class="buttons"><${Act} what="apply" small=${false} more=${{ text: file, before: began }} about="the policy file that was tried out" label="Apply it …" /></p>`}
    ${found?.after && html`<h3>${found.after.task} now</h3><${Applies} applies=${found.before.applies} /><h3>${found.after.task} with this file</h3><${Applies} applies=${found.after.applies} />`}
  </${Section}>`;
}
