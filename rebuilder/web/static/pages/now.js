import { Fragment, address, brief, digestOf, baseOf, hours, html, plural, pushAddress, short, taskAddress, useAnswer } from "../lib.js";
import { Act, Digest, Empty, Holds, Icon, Image, Reason, Section, State, Tile, Time, Wait, targetOf } from "../ui.js";

export default function Now() {
  const { value: now, problem } = useAnswer("/api/now");
  const { value: report } = useAnswer("/api/report", { days: 7 });
  return html`<${Fragment}>
    <div class="head"><h1>Now</h1>${now && html`<p class="muted">looked up <${Time} at=${now.now} /></p>`}</div>
    ${!now ? html`<${Wait} problem=${problem} what="what is under way" />` : html`<${Fragment}>
      ${problem && html`<${Wait} problem=${problem} />`}
      <${Banners} now=${now} />
      <${Tiles} now=${now} report=${report} />
      <div class="columns">
        <div>
          <${Waiting} groups=${now.waiting} />
          <${Going} title="Building" id="building" attempts=${now.building} none="Nothing is being built." />
          ${now.retrying.length > 0 && html`<${Going} title="Failed, and tried again" id="retrying" attempts=${now.retrying} />`}
        </div>
        <${Pushed} pushes=${now.pushes} count=${now.counts.pushes} />
      </div>
    </${Fragment}>`}
  </${Fragment}>`;
}

function Banners({ now }) {
  return html`<${Fragment}>
    ${now.mode === "observe" && html`<p class="banner run"><${Icon} name="ask" /> <strong>Observing.</strong> Everything is decided, and nothing is started.</p>`}
    ${now.policyProblem && html`<p class="banner fail"><${Icon} name="warn" /> <span><strong>The policy file.</strong> ${now.policyProblem} <a href="/policies">Policies</a></span></p>`}
    ${now.pauses.map((pause) => html`<div class="banner held" key=${pause.scope + pause.pattern}>
      <${Icon} name="pause" />
      <span><strong>${pause.scope === "all" ? "The line is stopped" : html`Paused: ${pause.scope} <code>${pause.pattern}</code>`}</strong> by ${pause.who} <${Time} at=${pause.at} />: ${pause.because}. ${pause.until ? html`Ends <${Time} at=${pause.until} end />.` : "Until somebody resumes it."}</span>
      <${Act} what="resume" target=${{ scope: pause.scope, pattern: pause.pattern }} about=${pause.pattern || "everything"} />
    </div>`)}
    ${now.quarantined.map((one) => html`<div class="banner fail" key=${one.pattern}>
      <${Icon} name="hand" />
      <span><strong>Quarantined: <code class="long">${brief(one.pattern)}</code></strong> <${Time} at=${one.at} />: ${one.because}. Nothing more is built on it until a newer image comes, or somebody releases it.</span>
      <${Act} what="release" target=${{ scope: one.scope, pattern: one.pattern }} about=${one.pattern} />
    </div>`)}
  </${Fragment}>`;
}

function Tiles({ now, report }) {
  const all = report?.all;
  const late = all?.counts.late ?? 0;
  return html`<ul class="tiles" aria-label="In numbers">
    <${Tile} label="On an old base" number=${report ? report.behindCount : "…"} kind=${report?.behindCount ? "stale" : ""} href="/report#behind" sub=${report ? `${plural(report.unknownCount, "task")} unknown` : "working it out"} />
    <${Tile} label="Behind: half, 95 %" kind="pair" number=${all ? html`${hours(all.p50Hours)} <span class="thin">·</span> ${hours(all.p95Hours)}` : "…"} href="/report" sub=${report ? `the objective is ${hours(report.objectiveHours)}; ${all.share === null ? "no share" : `${(all.share * 100).toFixed(1)} % in time`}` : "of 7 days"} />
    <${Tile} label="Building" number=${now.counts.building} kind=${now.counts.building ? "run" : ""} href=${address("/tasks", { standing: "building" })} sub=${now.counts.building ? "under way" : "quiet"} />
    <${Tile} label="Waiting" number=${now.counts.waiting} kind=${now.counts.waiting ? "wait" : ""} href=${address("/tasks", { standing: "waiting" })} sub=${now.waiting.slice(0, 2).map((group) => `${group.count} ${group.title}`).join(", ") || "nothing is held"} />
    <${Tile} label="Failed" number=${now.counts.retrying} kind=${now.counts.retrying ? "fail" : ""} href=${address("/tasks", { standing: "retrying,failed" })} sub="tried again; given up: see Images" />
    <${Tile} label="Dead letters" number=${now.counts.deadLetters} kind=${now.counts.deadLetters ? "fail" : ""} href="/health" sub=${now.counts.deadLetters ? "somebody has to look" : "none"} />
  </ul>`;
}

function Waiting({ groups }) {
  return html`<${Section} title="Waiting, by the reason" id="waiting-because" count=${groups.length || undefined}>
    ${groups.length === 0 && html`<${Empty}>Nothing waits.</${Empty}>`}
    ${groups.map((group) => html`<details key=${group.code} open=${group.count <= 3}>
      <summary><${Reason} code=${group.code} title=${group.title} /> <span class="many">${plural(group.count, "rebuild")}</span>
        <span class="ends">${group.next ? html`the first ends <${Time} at=${group.next} end />` : "somebody has to end it"}</span></summary>
      <ul class="rows">${group.rebuilds.map((attempt) => html`<li key=${attempt.id}>
        <div class="row"><a href=${taskAddress(attempt.task.name)}>${attempt.task.name}</a><${Bases} attempt=${attempt} /></div>
        <${Holds} attempt=${{ ...attempt, waits: attempt.waits.filter((why) => why.code === group.code) }} />
      </li>`)}</ul>
      ${group.count > group.rebuilds.length && html`<p class="muted">and ${group.count - group.rebuilds.length} more: <a href=${address("/tasks", { standing: "waiting" })}>Images</a></p>`}
    </details>`)}
  </${Section}>`;
}

export const Bases = ({ attempt }) =>
  html`<span class="bases">${attempt.bases.map((base) => html`<span key=${base}><${Image} name=${baseOf(base)} /> <code class="digest" title=${digestOf(base)}>${short(digestOf(base))}</code></span>`)}</span>`;

function Going({ title, id, attempts, none }) {
  return html`<${Section} title=${title} id=${id} count=${attempts.length || undefined}>
    ${attempts.length === 0 && html`<${Empty}>${none}</${Empty}>`}
    <ul class="rows">${attempts.map((attempt) => html`<li key=${attempt.id}>
      <div class="row"><a href=${taskAddress(attempt.task.name)}>${attempt.task.name}</a><${Bases} attempt=${attempt} /></div>
      <div class="row sub"><${State} is=${attempt.state} /> ${attempt.runId && html`<span>run <code>${attempt.runId}</code></span>`}
        <span class="muted">since <${Time} at=${attempt.claimedAt} /></span>
        ${attempt.due && attempt.state === "failed" && html`<span>attempt ${attempt.attempt + 1} <${Time} at=${attempt.due} end /></span>`}
        <a class="quietly" href=${pushAddress(attempt.push)}>its push</a></div>
    </li>`)}</ul>
  </${Section}>`;
}

function Pushed({ pushes, count }) {
  return html`<${Section} title="Pushed lately" id="pushed" count=${count || undefined} aside=${html`<a href="/pushes">All pushes</a>`}>
    ${pushes.length === 0 && html`<${Empty}>Nothing was pushed.</${Empty}>`}
    <ul class="rows">${pushes.slice(0, 12).map((push) => html`<li key=${push.key}>
      <div class="row"><a href=${pushAddress(push.key)}>${brief(push.image)}</a></div>
      <div class="row sub"><${Digest} of=${push.digest} bare /><${Time} at=${push.at} /></div>
    </li>`)}</ul>
  </${Section}>`;
}
