import { Fragment, ask, brief, hours, html, plural, taskAddress, useAnswer, useEffect, useRef, useState } from "../lib.js";
import { Digest, Empty, Section, State, Table, Tile, Time, Wait } from "../ui.js";

const KINDS = ["within", "late", "held", "open", "left alone", "unknown"];
const INK = { within: "--good-fill", late: "--fail-fill", held: "--held-fill", open: "--run-fill", "left alone": "--none", unknown: "--none-fill" };

export default function Report({ query }) {
  const days = query.days ?? "7";
  const { value, stale, problem } = useAnswer("/api/report", { days, objective: query.objective });
  const found = value ?? (problem ? null : stale);
  return html`<${Fragment}>
    <div class="head"><h1>Report</h1>${found && html`<p class="muted">worked out <${Time} at=${found.now} /></p>`}</div>
    <form class="filters" onSubmit=${(event) => event.preventDefault()}>
      <label>Days<select value=${days} onChange=${(event) => ask({ days: event.target.value })}>${["1", "7", "30", "90"].map((number) => html`<option key=${number} value=${number} selected=${number === days}>${number}</option>`)}</select></label>
      <label>Objective<select value=${query.objective ?? ""} onChange=${(event) => ask({ objective: event.target.value })}><option value="">as it is (4 h)</option>${[["30", "30 min"], ["60", "1 h"], ["240", "4 h"], ["1440", "1 day"]].map(([number, text]) => html`<option key=${number} value=${number} selected=${number === query.objective}>${text}</option>`)}</select></label>
      ${found && html`<button type="button" onClick=${() => save(found)}>Save as CSV</button>`}
    </form>
    ${!found ? html`<${Wait} problem=${problem} what="how long images stood on old bases (it reads much)" />` : html`
      ${problem && html`<${Wait} problem=${problem} />`}
      <ul class="tiles four" aria-label="In numbers">
        <${Tile} label="In time" number=${found.all.share === null ? "–" : `${(found.all.share * 100).toFixed(1)} %`} sub="within ${hours(found.objectiveHours)}, of what was not held" />
        <${Tile} label="Half within" number=${hours(found.all.p50Hours)} sub="from the push to the image" />
        <${Tile} label="95 % within" number=${hours(found.all.p95Hours)} sub=${plural(found.all.spells, "time", "times")} />
        <${Tile} label="Behind now" number=${found.behindCount} href="#behind" sub="${found.unknownCount} unknown" />
      </ul>
      <${Section} title="By the day on which a base moved" id="by-day"><${Chart} days=${found.by.day ?? {}} /><${Groups} name="Day" groups=${found.by.day ?? {}} /></${Section}>
      <${Section} title="By base" id="by-base"><${Groups} name="Base" groups=${found.by.base ?? {}} /></${Section}>
      <${Section} title="By policy" id="by-policy"><${Groups} name="Policy" groups=${found.by.policy ?? {}} /></${Section}>
      <${Section} title="Behind now, the longest first" id="behind" count=${found.behindCount}>
        ${found.behind.length === 0 && html`<${Empty}>Nothing is known to stand on an old base.</${Empty}>`}
        <ul class="rows">${found.behind.map((spell) => html`<li key=${spell.task + spell.base}>
          <div class="row"><a href=${taskAddress(spell.task)}>${spell.task}</a><span class="muted">${brief(spell.base)}</span><${State} is=${spell.countsAs === "held" ? "paused" : spell.countsAs} word=${spell.countsAs} /><span>${hours(spell.hours)}</span>${spell.heldHours > 0 && html`<span class="muted">held for ${hours(spell.heldHours)}</span>`}</div>
          <div class="row sub muted">${spell.why}: ${spell.sentence}</div></li>`)}</ul>
        ${found.behindCount > found.behind.length && html`<p class="muted">and ${found.behindCount - found.behind.length} more: <code>rebuilder stale</code></p>`}
      </${Section}>
      ${found.unknown.length > 0 && html`<${Section} title="Unknown" id="unknown" count=${found.unknownCount}><ul class="rows">${found.unknown.map((each) => html`<li key=${each.task + each.base}><div class="row"><a href=${taskAddress(each.task)}>${each.task}</a><span class="muted">${brief(each.base)}</span></div><div class="row sub muted">${each.reason}</div></li>`)}</ul></${Section}>`}`}
  </${Fragment}>`;
}

function Groups({ name, groups }) {
  const rows = Object.entries(groups);
  if (rows.length === 0) return html`<${Empty}>Nothing moved.</${Empty}>`;
  return html`<div class="scroll" tabindex="0" role="region" aria-label="Figures, one row for each ${name.toLowerCase()}"><table><thead><tr><th scope="col">${name}</th><th scope="col" class="number-cell">Times</th><th scope="col" class="number-cell">Half</th><th scope="col" class="number-cell">95 %</th><th scope="col" class="number-cell">In time</th>${KINDS.map((kind) => html`<th scope="col" key=${kind} class="number-cell">${kind}</th>`)}</tr></thead>
    <tbody>${rows.map(([group, counted]) => html`<tr key=${group}><td>${name === "Base" ? html`<a href="/graph?focus=${encodeURIComponent(group)}&depth=2">${brief(group)}</a>` : group}</td><td class="number-cell">${counted.spells}</td><td class="number-cell">${counted.p50Hours === null ? "–" : hours(counted.p50Hours)}</td><td class="number-cell">${counted.p95Hours === null ? "–" : hours(counted.p95Hours)}</td><td class="number-cell">${counted.share === null ? "–" : `${(counted.share * 100).toFixed(0)} %`}</td>${KINDS.map((kind) => html`<td key=${kind} class="number-cell">${counted.counts[kind] || html`<span class="muted">0</span>`}</td>`)}</tr>`)}</tbody></table></div>`;
}

function Chart({ days }) {
  const box = useRef();
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const [scheme, setScheme] = useState(dark.matches);
  useEffect(() => {
    const change = () => setScheme(dark.matches);
    dark.addEventListener("change", change);
    return () => dark.removeEventListener("change", change);
  }, []);
  useEffect(() => {
    let chart = null;
    let over = false;
    const sheet = document.getElementById("uplot-style") ?? document.head.appendChild(Object.assign(document.createElement("link"), { id: "uplot-style", rel: "stylesheet", href: "/vendor/uplot.css" }));
    const resize = () => chart?.setSize({ width: box.current.clientWidth, height: 240 });
    import("../vendor/uplot.js").then(({ default: uPlot }) => {
      if (over || !box.current) return;
      const style = getComputedStyle(document.documentElement);
      const ink = (name) => style.getPropertyValue(name).trim();
      const names = Object.keys(days);
      const at = names.map((name) => Date.parse(`${name}T12:00:00Z`) / 1000);
      let below = names.map(() => 0);
      const stacks = KINDS.map((kind) => (below = names.map((name, number) => below[number] + (days[name].counts[kind] ?? 0))));
      const bars = uPlot.paths.bars({ size: [0.6, 56] });
      chart = new uPlot({
        width: box.current.clientWidth, height: 240, cursor: { show: false }, legend: { show: false },
        scales: { x: { time: true, range: (_, low, high) => [low - 43200, high + 43200] }, y: { range: (_, low, high) => [0, Math.max(1, high * 1.1)] } },
        axes: [{ stroke: ink("--muted"), grid: { show: false }, ticks: { show: false }, space: 70, values: (_, values) => values.map((value) => new Date(value * 1000).toISOString().slice(5, 10)) }, { stroke: ink("--muted"), grid: { stroke: ink("--edge"), width: 1 }, ticks: { show: false }, size: 40 }],
        series: [{}, ...KINDS.map((kind) => ({ label: kind, fill: ink(INK[kind]), stroke: ink("--face"), width: 1, paths: bars, points: { show: false } })).reverse()],
      }, [at, ...stacks.reverse()], box.current);
      addEventListener("resize", resize);
    });
    return () => {
      over = true;
      removeEventListener("resize", resize);
      chart?.destroy();
      void sheet;
    };
  }, [days, scheme]);
  return html`<div class="parts" aria-hidden="true">${KINDS.map((kind) => html`<span key=${kind} class="key"><i class="key-${kind.replace(" ", "-")}"></i>${kind}</span>`)}</div>
    <div class="chart" ref=${box} role="img" aria-label="How times counted, by day. The table below holds the same."></div>`;
}

function cell(value) {
  let text = value === null || value === undefined ? "" : String(value);
  if (/^[=+\-@]/.test(text)) text = `'${text}`;
  return /[",\n]/.test(text) ? `"${text.replace(/"/g, '""')}"` : text;
}

function save(found) {
  const names = ["task", "base", "digest", "policy", "since", "hours", "heldHours", "countsAs", "why", "sentence"];
  const lines = [names.join(","), ...found.behind.map((spell) => names.map((name) => cell(spell[name])).join(","))];
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([`${lines.join("\r\n")}\r\n`], { type: "text/csv" }));
  link.download = `behind-${found.now.slice(0, 10)}.csv`;
  link.click();
  URL.revokeObjectURL(link.href);
}
