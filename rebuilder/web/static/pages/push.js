import { Fragment, address, brief, html, imageOfPush, plural, pushAddress, taskAddress, useAnswer } from "../lib.js";
import { Digest, Empty, Holds, Icon, Section, State, Time, Wait, When } from "../ui.js";

const ORDER = ["rebuilt", "building", "to come", "waiting", "retrying", "failed", "overtaken", "left alone"];
const COLOUR = { rebuilt: "good", building: "run", "to come": "run", waiting: "wait", retrying: "wait", failed: "fail" };

export function Progress({ counts }) {
  const wanted = ORDER.filter((word) => counts[word] && word !== "left alone" && word !== "overtaken");
  const all = wanted.reduce((sum, word) => sum + counts[word], 0);
  if (!all) return html`<p class="muted">Nothing was to be rebuilt.</p>`;
  const words = wanted.map((word) => `${counts[word]} ${word}`).join(", ");
  return html`<div class="bars" role="img" aria-label="Of ${all}: ${words}">${wanted.map((word) => html`<i key=${word} class=${COLOUR[word]} style=${{ width: `${(100 * counts[word]) / all}%` }}></i>`)}</div>
    <div class="parts">${ORDER.filter((word) => counts[word]).map((word) => html`<${State} key=${word} is=${word} word="${counts[word]} ${word}" />`)}</div>`;
}

export default function Push({ query }) {
  const { value: push, problem } = useAnswer("/api/push", { key: query.key, after: query.after });
  if (!push) return html`<h1>Push</h1><${Wait} problem=${problem} what="the push" />`;
  return html`<${Fragment}>
    <div class="head"><div><p class="crumbs"><a href="/pushes">Pushes</a></p><h1>${brief(push.push.image)}</h1></div>
      <div class="buttons">${push.reference && html`<a class="button" href=${address("/graph", { focus: push.reference, depth: 3 })}><${Icon} name="graph" /> Graph</a>
        <a class="button" href=${address("/tasks", { base: push.reference })}><${Icon} name="images" /> Who reads it</a>`}</div></div>
    ${problem && html`<${Wait} problem=${problem} />`}
    <p>The tag came to name <${Digest} of=${push.push.digest} /> ${push.pushedAt ? html`at <${When} at=${push.pushedAt} />` : "at a time that nobody recorded"}; told <${Time} at=${push.push.at} />${push.deliveries > 1 && `, ${push.deliveries} times, last `}${push.deliveries > 1 && html`<${Time} at=${push.lastAt} />`}.</p>
    ${!push.planned && html`<p class="banner run"><${Icon} name="spin" turning /> It is not decided yet what it leads to.</p>`}
    ${push.letters.length > 0 && html`<p class="banner fail"><${Icon} name="warn" /> <span>${plural(push.letters.length, "dead letter")} about it: <a href="/health">Health</a></span></p>`}
    <${Section} title="Its wave" id="wave"><${Progress} counts=${push.counts} /></${Section}>
    <${Section} title="Decisions" id="decisions" count=${push.decisions.length}>
      ${push.decisions.length === 0 && html`<${Empty}>Nothing was decided: no task is known to read it.</${Empty}>`}
      <ul class="rows">${push.decisions.map((one) => html`<li key=${(one.task?.id ?? "") + one.code}>
        <div class="row">${one.task ? html`<a href=${taskAddress(one.task.name)}>${one.task.name}</a>` : html`<strong>${one.code}</strong>`}<${State} is=${one.came} />${one.attempt?.runId && html`<span class="muted">run <code>${one.attempt.runId}</code></span>`}<span class="muted"><${Time} at=${one.at} /></span></div>
        <div class="row sub muted">${one.sentence}</div>
        ${one.attempt?.waits.length > 0 && html`<${Holds} attempt=${one.attempt} />`}
        ${one.attempt?.advice && html`<p class="note stale"><${Icon} name="warn" /> ${one.attempt.advice}</p>`}
      </li>`)}</ul>
      ${push.next && html`<a class="button" href=${address("/push", { key: query.key, after: push.next })}>More decisions</a>`}
    </${Section}>
    <${Section} title="Pushes of the same tag before" id="earlier">
      ${push.earlier.length === 0 && html`<${Empty}>None is known.</${Empty}>`}
      <ul class="rows">${push.earlier.map((one) => html`<li key=${one.key} class="row"><a href=${pushAddress(one.key)}><${Digest} of=${one.digest} bare /></a><${When} at=${one.at} /></li>`)}</ul>
    </${Section}>
  </${Fragment}>`;
}
