import { Fragment, baseOf, brief, digestOf, html, imageOfPush, plural, pushAddress, short, taskAddress, useAnswer, useState } from "../lib.js";
import { Act, Empty, Holds, Icon, Section, State, Time, Wait } from "../ui.js";
import { Progress } from "./push.js";
import { Bases } from "./now.js";

export default function Waves() {
  const { value: now, problem } = useAnswer("/api/now");
  return html`<${Fragment}>
    <div class="head"><h1>Waves and approvals</h1><div class="buttons"><${Act} what="pause" small=${false} about="everything" label="Stop the line …" /></div></div>
    ${!now ? html`<${Wait} problem=${problem} what="what is under way" />` : html`
      ${problem && html`<${Wait} problem=${problem} />`}
      <${Approvals} group=${now.waiting.find((group) => group.code === "needs-approval")} />
      <${UnderWay} now=${now} />`}
  </${Fragment}>`;
}

function Approvals({ group }) {
  const [picked, pick] = useState(new Set());
  const rebuilds = group?.rebuilds ?? [];
  const chosen = rebuilds.filter((attempt) => picked.has(attempt.id));
  const about = chosen.map((attempt) => attempt.task.name).join(", ");
  const set = (id, on) => {
    const next = new Set(picked);
    on ? next.add(id) : next.delete(id);
    pick(next);
  };
  return html`<${Section} title="Waiting for people to agree" id="approvals" count=${rebuilds.length || undefined}
    aside=${chosen.length > 0 && html`<span class="buttons"><${Act} what="approve" of=${chosen.map((each) => each.id)} about=${about} label="Approve ${chosen.length}" /><${Act} what="reject" of=${chosen.map((each) => each.id)} about=${about} label="Reject ${chosen.length}" /></span>`}>
    ${rebuilds.length === 0 && html`<${Empty}>Nothing waits for approval.</${Empty}>`}
    <ul class="rows">${rebuilds.map((attempt) => html`<li key=${attempt.id}>
      <div class="row"><label class="inline"><input type="checkbox" checked=${picked.has(attempt.id)} aria-label="Choose ${attempt.task.name}" onChange=${(event) => set(attempt.id, event.target.checked)} /></label><a href=${taskAddress(attempt.task.name)}>${attempt.task.name}</a><${Bases} attempt=${attempt} /><a class="quietly" href=${pushAddress(attempt.push)}>what changes</a></div>
      <${Holds} attempt=${{ ...attempt, waits: attempt.waits.filter((why) => why.code === "needs-approval") }} />
    </li>`)}</ul>
  </${Section}>`;
}

function UnderWay({ now }) {
  const keys = new Set();
  for (const attempt of [...now.building, ...now.retrying, ...now.waiting.flatMap((group) => group.rebuilds)]) keys.add(attempt.push);
  const found = [...keys].slice(0, 20);
  return html`<${Section} title="Waves under way" id="waves" count=${keys.size || undefined}>
    ${found.length === 0 && html`<${Empty}>Nothing is under way.</${Empty}>`}
    <ul class="rows">${found.map((key) => html`<${Wave} key=${key} id=${key} />`)}</ul>
    ${keys.size > found.length && html`<p class="muted">and ${keys.size - found.length} more: <a href="/pushes">Pushes</a></p>`}
  </${Section}>`;
}

function Wave({ id }) {
  const { value: push, stale, problem } = useAnswer("/api/push", { key: id });
  const shown = push ?? stale;
  return html`<li><div class="row"><a href=${pushAddress(id)}>${brief(imageOfPush(id))}</a><code class="digest">${short(id.split("|")[3])}</code>${shown && html`<span class="muted">told <${Time} at=${shown.push.at} /></span>`}</div>
    ${shown ? html`<${Progress} counts=${shown.counts} />` : problem ? html`<${Wait} problem=${problem} />` : html`<p class="muted">…</p>`}</li>`;
}
