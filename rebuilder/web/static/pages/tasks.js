import { Fragment, address, ask, brief, generation, get, html, plural, pushAddress, short, taskAddress, useEffect, useMemo, useRef, useSignal, useState } from "../lib.js";
import { Act, Digest, For, Icon, Moved, State, Table, Time, Wait } from "../ui.js";

const STANDINGS = ["stale", "failed", "retrying", "waiting", "building", "current", "unknown"];
const URGENCY = Object.fromEntries(STANDINGS.map((word, number) => [word, number]));

// Pages of a list, of which those that are there are asked for again when something has changed.
export function usePages(path, query, rowsOf) {
  const now = useSignal(generation);
  const wanted = address(path, query);
  const [state, set] = useState({ wanted: "", rows: [], next: "", problem: null, done: false });
  const busy = useRef(false);
  const current = useRef(wanted);
  current.current = wanted;
  const load = async (after, rows, until) => {
    busy.current = true;
    let more = after;
    let found = rows;
    try {
      do {
        const page = await get(path, { ...query, after: more });
        if (current.current !== wanted) return;
        found = [...found, ...rowsOf(page)];
        more = page.next;
      } while (more && found.length < until);
      set({ wanted, rows: found, next: more, problem: null, done: true });
    } catch (problem) {
      if (current.current === wanted) set((before) => ({ ...before, wanted, problem, done: true }));
    } finally {
      busy.current = false;
    }
  };
  useEffect(() => {
    load("", [], Math.max(60, state.wanted === wanted ? state.rows.length : 0));
  }, [wanted, now]);
  const more = () => {
    if (!busy.current && state.wanted === wanted && state.next) load(state.next, state.rows, state.rows.length + 100);
  };
  return { ...state, fresh: state.wanted === wanted, more };
}

const BY = {
  task: (row) => row.task.name,
  behind: (row) => (row.behindSince ? Date.parse(row.behindSince) : Infinity),
  state: (row) => URGENCY[row.standing],
  last: (row) => (row.last ? -Date.parse(row.last.claimedAt) : Infinity),
};

export default function Tasks({ query }) {
  const standing = (query.standing ?? "").split(",").filter(Boolean);
  const asked = { q: query.q, registry: query.registry, standing: query.standing, base: query.base, limit: 50 };
  const { rows, next, problem, done, fresh, more } = usePages("/api/tasks", asked, (page) => page.tasks);
  const [words, setWords] = useState(query.q ?? "");
  const [picked, pick] = useState(new Set());
  useEffect(() => setWords(query.q ?? ""), [query.q]);
  useEffect(() => {
    const later = setTimeout(() => words !== (query.q ?? "") && ask({ q: words }), 250);
    return () => clearTimeout(later);
  }, [words]);
  const sort = { name: query.sort ?? "task", down: query.down === "1" };
  const sorted = useMemo(() => {
    const by = BY[sort.name] ?? BY.task;
    const found = [...rows].sort((a, b) => (by(a) < by(b) ? -1 : by(a) > by(b) ? 1 : 0));
    return sort.down ? found.reverse() : found;
  }, [rows, sort.name, sort.down]);
  const toggle = (word) => ask({ standing: (standing.includes(word) ? standing.filter((each) => each !== word) : [...standing, word]).join(",") });
  const worst = (row) => row.bases.find((base) => base.behind) ?? row.bases.find((base) => base.kind === "runtime") ?? row.bases[0];
  const columns = [
    { name: "task", title: "Task", by: true, cell: (row) => html`<div class="two"><a href=${taskAddress(row.task.name)} title=${row.task.name}>${row.task.name}</a><span title=${worst(row)?.image}>${worst(row) ? brief(worst(row).image) : "no base is known"}${row.bases.length > 1 && ` and ${row.bases.length - 1} more`}</span></div>` },
    { name: "state", title: "State", by: true, class: "w-state", cell: (row) => html`<${State} is=${row.standing} />` },
    { name: "moved", title: "Built on → now", class: "w-moved hide-narrow", cell: (row) => worst(row) && html`<${Moved} from=${worst(row).builtOn} to=${worst(row).now} />` },
    { name: "behind", title: "Behind", by: true, class: "w-time", cell: (row) => row.behindSince ? html`<${For} since=${row.behindSince} />` : html`<span class="muted ${row.standing === "unknown" ? "" : "dash"}">${row.standing === "unknown" ? "unknown" : "–"}</span>` },
    { name: "waits", title: "Waits for", class: "full", cell: (row) => row.last?.waits.length ? html`<div class="two"><span>${row.last.waits.map((why) => why.title).join(", ")}</span><span>${row.last.waits[0].until ? html`ends <${Time} at=${row.last.waits[0].until} end />` : row.last.waits[0].ender}</span></div>` : row.standing === "failed" || row.standing === "retrying" ? html`<div class="two"><span>${row.last.outcome}</span><span>${row.last.due ? html`again <${Time} at=${row.last.due} end />` : row.last.advice}</span></div>` : html`<span class="muted dash">–</span>` },
    { name: "last", title: "Last run", by: true, class: "w-who hide-narrow", cell: (row) => row.last ? html`<div class="two"><span>${row.last.runId ? html`<code>${row.last.runId}</code>` : "no run yet"}</span><span><${Time} at=${row.last.claimedAt} /></span></div>` : html`<span class="muted">never</span>` },
  ];
  const chosen = sorted.filter((row) => picked.has(row.task.name));
  return html`<${Fragment}>
    <div class="head"><h1>Images</h1><p class="muted" role="status">${!done ? "Looking …" : html`${plural(rows.length, "task")}${next ? `, more as you scroll${query.sort || query.down ? "; only those that are here are in this order" : ""}` : ""}${fresh ? "" : " …"}`}</p></div>
    <form class="filters" role="search" onSubmit=${(event) => event.preventDefault()}>
      <label>Task or base<input type="search" value=${words} placeholder="every word has to fit" onInput=${(event) => setWords(event.target.value)} /></label>
      <label>Registry<input type="text" value=${query.registry ?? ""} placeholder="any" size="14" onChange=${(event) => ask({ registry: event.target.value.trim().toLowerCase() })} /></label>
      ${query.base && html`<span class="chips"><button type="button" aria-pressed="true" onClick=${() => ask({ base: "" })}>on ${brief(query.base)} <span aria-hidden="true">×</span><span class="unseen">, remove</span></button></span>`}
      <fieldset class="chips"><legend class="unseen">State</legend>${STANDINGS.map((word) => html`<button type="button" key=${word} aria-pressed=${standing.includes(word) ? "true" : "false"} onClick=${() => toggle(word)}>${word}</button>`)}</fieldset>
    </form>
    ${problem && html`<${Wait} problem=${problem} />`}
    ${done && rows.length === 0 && !problem && html`<p class="empty">No task fits. <a href="/tasks">All tasks</a></p>`}
    ${rows.length > 0 && html`<${Table} caption="Tasks and what they stand on" columns=${columns} rows=${sorted} keyOf=${(row) => row.task.name} sort=${sort} onSort=${(name) => ask({ sort: name, down: sort.name === name && !sort.down ? "1" : "" })} more=${more} selected=${picked} onSelect=${pick} />`}
    ${chosen.length > 0 && html`<${Chosen} rows=${chosen} clear=${() => pick(new Set())} />`}
  </${Fragment}>`;
}

function Chosen({ rows, clear }) {
  const voted = rows.filter((row) => row.last?.waits.some((why) => why.code === "needs-approval"));
  const of = voted.map((row) => row.last.id);
  const named = rows.map((row) => `${row.task.id}#${row.last?.sequence ?? 0}`);
  const one = rows.length === 1 ? { scope: "task", pattern: rows[0].task.name } : null;
  const about = rows.map((row) => row.task.name).join(", ");
  return html`<div class="chosen" role="region" aria-label="Chosen tasks"><strong>${plural(rows.length, "task")}</strong>
    ${one && html`<${Act} what="pause" target=${one} about=${about} />`}
    ${of.length > 0 && html`<${Act} what="approve" of=${of} about=${voted.map((row) => row.task.name).join(", ")} label="Approve ${of.length}" /><${Act} what="reject" of=${of} about=${voted.map((row) => row.task.name).join(", ")} label="Reject ${of.length}" />`}
    <${Act} what="retry" of=${named} about=${about} label="Try ${rows.length} again" /><${Act} what="build" of=${named} about=${about} label="Build ${rows.length}" />
    <span class="grow"></span><button type="button" class="small" onClick=${clear}>Choose none</button></div>`;
}
