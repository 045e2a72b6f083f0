import { Fragment, brief, html, imageOfPush, may, plural, pushAddress, taskAddress, useAnswer } from "../lib.js";
import { Act, Command, Empty, Icon, Section, State, Time, Wait, When } from "../ui.js";

const NAMES = { sweep: "Sweep: compares tags with what is built on them", poll: "Poll: looks at registries that send no events", history: "Retirement of history" };

const aboutLetter = (letter) => `${letter.id} of ${letter.source.split("/").pop()}${letter.task ? `, about ${letter.task}` : ""}`;

export default function Health() {
  const { value: found, problem } = useAnswer("/api/health");
  return html`<${Fragment}>
    <div class="head"><h1>Health</h1></div>
    ${!found ? html`<${Wait} problem=${problem} what="what is wrong" />` : html`
      ${problem && html`<${Wait} problem=${problem} />`}
      <${Section} title="Findings" id="findings" count=${found.findings.length || undefined}>
        ${found.findings.length === 0 && html`<${Empty}>The store tells of nothing that is wrong.</${Empty}>`}
        <ul class="rows">${found.findings.map((finding) => html`<li key=${finding.what}><div class="row"><${State} is=${finding.severity} /><span>${finding.what}</span></div>
          <div class="row sub muted">${finding.why}</div><div>${finding.commands.map((text) => html`<${Command} key=${text} text=${text} />`)}</div></li>`)}</ul>
        <p class="muted">Roles, events and registries are not looked at from here: <code>rebuilder doctor</code> does it with your own rights.</p>
      </${Section}>
      <${Section} title="Dead letters" id="letters" count=${found.letterCount || undefined} aside=${found.letters.length > 1 && html`<${Act} what="replay" of=${found.letters.map((letter) => letter.id)} about=${plural(found.letters.length, "dead letter")} label="Replay ${found.letters.length}" />`}>
        ${found.letters.length === 0 && html`<${Empty}>None waits.</${Empty}>`}
        <ul class="rows">${found.letters.map((letter) => html`<li key=${letter.id}>
          <div class="row"><strong><code>${letter.id}</code></strong><span>${letter.origin === "event" ? "event of" : "message of"} ${letter.source.split("/").pop()}</span><span class="muted"><${Time} at=${letter.at} /></span>
          ${letter.task && html`<a href=${taskAddress(letter.task)}>${letter.task}</a>`}${letter.push && html`<a href=${pushAddress(letter.push)}>${brief(imageOfPush(letter.push))}</a>`}</div>
          <div class="row sub">${letter.reason}</div>${may("replay")
            ? html`<div class="buttons"><${Act} what="replay" of=${[letter.id]} about=${aboutLetter(letter)} /><${Act} what="discard" of=${[letter.id]} about=${aboutLetter(letter)} /></div>`
            : html`<div><${Command} text="rebuilder replay ${letter.id}" /><${Command} text="rebuilder discard ${letter.id}" /></div>`}</li>`)}</ul>
        ${found.letterCount > found.letters.length && html`<p class="muted">and ${found.letterCount - found.letters.length} more: <code>rebuilder dead-letters</code></p>`}
      </${Section}>
      <div class="columns even">
        <${Section} title="Index of tasks" id="indexes"><ul class="rows">${found.indexes.map((index) => html`<li key=${index.registry} class="row"><a href="/tasks?registry=${index.registry}">${index.registry}</a><${State} is=${index.old ? "stale" : "current"} word=${index.old ? "old" : "fresh"} /><span>${index.refreshed ? html`read <${Time} at=${index.refreshed} />` : "never read as a whole"}</span>${index.scanning && html`<span class="muted">is being read</span>`}</li>`)}</ul></${Section}>
        <${Section} title="Long work" id="work"><ul class="rows">
          <li class="row"><span>Pushes that are not decided about</span><strong>${found.unplanned}</strong>${found.oldestUnplanned && html`<span class="muted">the oldest <${Time} at=${found.oldestUnplanned} /></span>`}</li>
          ${found.work.map((work) => html`<li key=${work.name}><div class="row"><span>${NAMES[work.name] ?? work.name}</span></div><div class="row sub muted">${work.runs === 0 ? "it never ran" : `${plural(work.runs, "beginning or end", "beginnings and ends")} counted`}${work.until ? html`, under way until <${When} at=${work.until} /> at most` : ""}${work.place && work.name === "sweep" ? `, goes on after ${brief(work.place)}` : ""}</div></li>`)}</ul></${Section}>
      </div>`}
  </${Fragment}>`;
}
