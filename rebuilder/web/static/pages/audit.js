import { Fragment, html, plural } from "../lib.js";
import { Act, State, Table, Time, Wait, When, targetOf } from "../ui.js";
import { usePages } from "./tasks.js";

export default function Audit() {
  const { rows, next, problem, done, more } = usePages("/api/acts", { limit: 50 }, (page) => page.acts);
  const columns = [
    { name: "at", title: "When", class: "w-who", cell: (act) => html`<div class="two"><${Time} at=${act.at} /><${When} at=${act.at} /></div>` },
    { name: "what", title: "What", class: "w-state", cell: (act) => html`<${State} is=${{ pause: "paused", refused: "failed", approve: "current", reject: "failed", resume: "building" }[act.what] ?? "note"} word=${act.what} />` },
    { name: "target", title: "To what", class: "full", cell: (act) => html`<span title=${act.target}>${act.target}${act.until ? html`, until <${When} at=${act.until} />` : ""}</span>` },
    { name: "who", title: "Who", class: "w-who", cell: (act) => html`<span title=${act.who}>${act.who}</span>` },
    { name: "why", title: "Why, and what came of it", class: "full", cell: (act) => html`<div class="two"><span title=${act.because}>${act.because || "–"}</span><span title=${act.came}>${act.came || "not known yet"}</span></div>` },
  ];
  return html`<${Fragment}>
    <div class="head"><h1>Audit</h1><p class="muted" role="status">${done ? `${plural(rows.length, "act")}${next ? ", older ones as you scroll" : ""}` : "Looking …"}</p></div>
    ${problem && html`<${Wait} problem=${problem} />`}
    ${done && rows.length === 0 && !problem && html`<p class="empty">Nobody did anything yet.</p>`}
    ${rows.length > 0 && html`<${Table} caption="What operators did, newest first" columns=${columns} rows=${rows} keyOf=${(act) => act.id} more=${more} narrow=${126} />`}
  </${Fragment}>`;
}
