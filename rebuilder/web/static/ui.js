// The parts that pages are made of.
import {
  Fragment, brief, clock, html, inUtc, lookSoon, may, post, reached, said, short, signal, span, useCallback, useEffect,
  useLayoutEffect, useMemo, useRef, useSignal, useState,
} from "./lib.js";

const PATHS = {
  check: "M4 8.500l2.700 2.700L12 5.500",
  spin: "M8 2.500a5.500 5.500 0 1 1-5.500 5.500",
  clock: "M8 4.500V8l2.300 1.600M8 2a6 6 0 1 0 0 12A6 6 0 1 0 8 2z",
  again: "M12.500 8a4.500 4.500 0 1 1-1.500-3.300M12.500 2.500v3h-3",
  cross: "M5 5l6 6M11 5l-6 6",
  warn: "M8 2.500L14.500 13.500H1.500zM8 6.500v3.200M8 11.500v.1",
  ask: "M6 6.200a2 2 0 1 1 2.800 1.800c-.6.3-.8.7-.8 1.300M8 11.600v.1",
  minus: "M4.500 8h7",
  pause: "M6 4.500v7M10 4.500v7",
  hand: "M8 2a6 6 0 1 0 0 12A6 6 0 1 0 8 2zM5.500 8h5",
  vote: "M3 8l3 3 7-7M3 13.500h10",
  now: "M2 8h3l2-4 3 8 2-4h2",
  images: "M3 5.500l5-2.500 5 2.500-5 2.500zM3 8.200l5 2.500 5-2.500M3 10.800l5 2.500 5-2.500",
  push: "M8 12V4M4.500 7.500L8 4l3.500 3.500M3 13.500h10",
  graph: "M4 4.500h3v3H4zM9.500 8.500h3v3h-3zM7 6h4v2.500",
  policy: "M4 2.500h6l2.500 2.500v8.500H4zM6 8h4.500M6 10.500h4.500",
  report: "M3 13V3M3 13h10.500M6 10.500V8M9 10.500v-5M12 10.500V7",
  health: "M8 13S2.500 9.700 2.500 6.200A2.800 2.800 0 0 1 8 5a2.800 2.800 0 0 1 5.500 1.200C13.500 9.700 8 13 8 13z",
  audit: "M3.500 3.500h9M3.500 6.500h9M3.500 9.500h6M3.500 12.500h4",
  wave: "M2 6c2-2 4-2 6 0s4 2 6 0M2 10c2-2 4-2 6 0s4 2 6 0",
  copy: "M5.500 5.500h7v7h-7zM3.500 10.500v-7h7",
  link: "M9.500 3h3.500v3.500M13 3L7.500 8.500M11.500 9v4h-8V5h4",
};

export const Icon = ({ name, turning = false }) =>
  html`<svg class=${turning ? "icon turning" : "icon"} viewBox="0 0 16 16" aria-hidden="true" focusable="false"><path d=${PATHS[name]} /></svg>`;

// A state is an icon, a word and a colour.
const STATES = {
  building: ["run", "spin"],
  claimed: ["run", "spin"],
  scheduled: ["run", "spin"],
  running: ["run", "spin"],
  waiting: ["wait", "clock"],
  held: ["wait", "clock"],
  retrying: ["wait", "again"],
  failed: ["fail", "cross"],
  "given up": ["fail", "cross"],
  stale: ["stale", "warn"],
  overtaken: ["none", "minus"],
  current: ["good", "check"],
  succeeded: ["good", "check"],
  rebuilt: ["good", "check"],
  new: ["good", "check"],
  within: ["good", "check"],
  late: ["fail", "clock"],
  open: ["run", "clock"],
  unknown: ["none", "ask"],
  skipped: ["none", "minus"],
  "left alone": ["none", "minus"],
  "to come": ["run", "clock"],
  paused: ["held", "pause"],
  error: ["fail", "cross"],
  warning: ["stale", "warn"],
  note: ["none", "ask"],
};
const REASONS = { paused: "pause", "needs-approval": "vote", frozen: "hand" };

export const pathOf = (is) => PATHS[(STATES[is] ?? ["none", "ask"])[1]];

export function State({ is, word }) {
  const [colour, icon] = STATES[is] ?? ["none", "ask"];
  return html`<span class="state ${colour}"><${Icon} name=${icon} turning=${icon === "spin"} />${word ?? is}</span>`;
}

export const Reason = ({ code, title }) =>
  html`<span class="state ${code === "paused" || code === "needs-approval" ? "held" : "wait"}"><${Icon} name=${REASONS[code] ?? "clock"} />${title}</span>`;

// Times tell both: how long, and when.
const tick = signal(Date.now());
setInterval(() => document.hidden || tick.set(Date.now()), 15_000);

export function Time({ at, end = false }) {
  const now = useSignal(tick);
  const utc = useSignal(inUtc);
  if (!at) return html`<span class="muted">unknown</span>`;
  const away = new Date(at) - now;
  const told = Math.abs(away) < 20_000 ? "just now" : away > 0 ? `in ${span(away)}` : `${span(away)} ago`;
  const full = `${clock(at, true)} · ${clock(at, false)} local`;
  return html`<time dateTime=${at} title=${full}>${told}${end && html` <span class="muted">${clock(at, utc).slice(5)}</span>`}</time>`;
}

// How long something has been so.
export function For({ since }) {
  const now = useSignal(tick);
  return html`<time dateTime=${since} title="since ${clock(since, true)} · ${clock(since, false)} local">${span(now - new Date(since))}</time>`;
}

export function When({ at }) {
  const utc = useSignal(inUtc);
  if (!at) return html`<span class="muted">unknown</span>`;
  return html`<time dateTime=${at} title="${clock(at, !utc)}${utc ? " local" : ""}">${clock(at, utc)}</time>`;
}

export const Digest = ({ of, bare = false }) =>
  of
    ? html`<code class="digest" title=${of}>${short(of)}</code>${!bare && html`<${Copy} text=${of} what="digest" />`}`
    : html`<span class="muted">unknown</span>`;

export const Moved = ({ from, to }) =>
  html`<span class="moved"><${Digest} of=${from} bare /> <span class="muted" aria-hidden="true">→</span><span class="unseen"> now </span> <${Digest} of=${to} bare /></span>`;

export const Image = ({ name }) => html`<span class="image" title=${name}>${brief(name)}</span>`;

export function Copy({ text, what }) {
  const [done, set] = useState(false);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      set(true);
      said.set(`Copied the ${what}.`);
      setTimeout(() => set(false), 1500);
    } catch {
      said.set(`The ${what} cannot be copied here.`);
    }
  };
  return html`<button type="button" class="quiet copy" onClick=${copy} aria-label="Copy the ${what}" title=${text}><${Icon} name=${done ? "check" : "copy"} /></button>`;
}

export const Command = ({ text }) => html`<span class="command"><code>${text}</code><${Copy} text=${text} what="command" /></span>`;

export const Wait = ({ problem, what = "this" }) =>
  problem
    ? html`<p class="note fail" role="alert"><${Icon} name="warn" /> ${problem.message}</p>`
    : html`<p class="muted waiting">Looking up ${what} …</p>`;

export const Empty = ({ children }) => html`<p class="empty">${children}</p>`;

export function Section({ title, id, count, aside, children }) {
  return html`<section class="card" aria-labelledby=${id}>
    <header><h2 id=${id}>${title}${count !== undefined && html` <span class="count">${count}</span>`}</h2>${aside}</header>
    ${children}
  </section>`;
}

export function Tile({ label, number, sub, href, kind = "" }) {
  const inner = html`<span class="label">${label}</span><span class="number ${kind}">${number}</span><span class="sub">${sub}</span>`;
  return html`<li>${href ? html`<a class="tile" href=${href}>${inner}</a>` : html`<div class="tile">${inner}</div>`}</li>`;
}

// Tables: real ones, of which only what can be seen is there.
const OVERSCAN = 10;

export function Table({ caption, columns, rows, keyOf, sort, onSort, more, height = 46, narrow = 104, selected, onSelect }) {
  const body = useRef();
  const [range, set] = useState([0, 40]);
  const [row, setRow] = useState(height);
  const measure = useCallback(() => {
    if (!body.current) return;
    const each = matchMedia("(max-width: 720px)").matches ? narrow : height;
    setRow(each);
    const top = -body.current.getBoundingClientRect().top;
    const first = Math.max(0, Math.floor(top / each) - OVERSCAN);
    const last = Math.ceil((top + innerHeight) / each) + OVERSCAN;
    set((before) => (before[0] === first && before[1] === last ? before : [first, last]));
    if (more && last >= rows.length) more();
  }, [rows, more, height, narrow]);
  useLayoutEffect(() => {
    measure();
    addEventListener("scroll", measure, { passive: true });
    addEventListener("resize", measure);
    return () => {
      removeEventListener("scroll", measure);
      removeEventListener("resize", measure);
    };
  }, [measure]);
  const first = Math.min(range[0], Math.max(0, rows.length - 1));
  const last = Math.min(range[1], rows.length);
  const all = rows.length > 0 && selected && rows.every((each) => selected.has(keyOf(each)));
  const span = columns.length + (selected ? 1 : 0);
  const spacer = (many) => many > 0 && html`<tr class="spacer" aria-hidden="true"><td colSpan=${span} style=${{ height: `${many * row}px` }}></td></tr>`;
  return html`<table class="list ${selected ? "picks" : ""}" role="table" aria-rowcount=${rows.length + 1}>
    <caption class="unseen">${caption}</caption>
    <thead role="rowgroup"><tr role="row" aria-rowindex="1">
      ${selected && html`<th role="columnheader" scope="col" class="pick"><input type="checkbox" checked=${all} aria-label="Select all that are shown" onChange=${(event) => onSelect(event.target.checked ? new Set(rows.map(keyOf)) : new Set())} /></th>`}
      ${columns.map((column) => html`<th role="columnheader" scope="col" key=${column.name} class=${column.class ?? ""} aria-sort=${sort && column.by ? (sort.name === column.name ? (sort.down ? "descending" : "ascending") : "none") : undefined}>
        ${column.by && onSort ? html`<button type="button" class="sort" onClick=${() => onSort(column.name)}>${column.title}<span aria-hidden="true">${sort?.name === column.name ? (sort.down ? " ↓" : " ↑") : ""}</span></button>` : column.title}
      </th>`)}
    </tr></thead>
    <tbody role="rowgroup" ref=${body}>
      ${spacer(first)}
      ${rows.slice(first, last).map((each, number) => html`<tr role="row" key=${keyOf(each)} aria-rowindex=${first + number + 2}>
        ${selected && html`<td role="cell" class="pick"><input type="checkbox" checked=${selected.has(keyOf(each))} aria-label="Select ${keyOf(each)}" onChange=${(event) => {
          const next = new Set(selected);
          event.target.checked ? next.add(keyOf(each)) : next.delete(keyOf(each));
          onSelect(next);
        }} /></td>`}
        ${columns.map((column) => html`<td role="cell" key=${column.name} class=${column.class ?? ""} data-title=${column.title}>${column.cell(each)}</td>`)}
      </tr>`)}
      ${spacer(rows.length - last)}
    </tbody>
  </table>`;
}

// Asking for something: a dialog, whose answer is told by the live region and by a note.
export const asking = signal(null);
export const notes = signal([]);

export function note(text, kind = "good") {
  const one = { text, kind, id: Math.random() };
  notes.set([...notes.get(), one]);
  said.set(text);
  setTimeout(() => notes.set(notes.get().filter((each) => each !== one)), 8000);
}

const WORDS = {
  pause: { title: "Pause", verb: "Pause", because: true, until: true, hint: "Nothing that fits is started any more, from half a minute on. What runs goes on; what is pushed meanwhile waits, and is built once." },
  resume: { title: "Resume", verb: "Resume", because: false, hint: "What waited for this pause is looked at again at once." },
  approve: { title: "Approve", verb: "Approve", because: true, hint: "For the digests that are shown, and no others: a newer image asks again." },
  reject: { title: "Reject", verb: "Reject", because: true, danger: true, hint: "These digests are left alone. A newer image has a vote of its own." },
  retry: { title: "Try again", verb: "Try again", because: true, hint: "It is rebuilt although it was given up or done; on the digests of now." },
  build: { title: "Build", verb: "Build", because: true, hint: "It is rebuilt on the digests of now." },
  replay: { title: "Replay", verb: "Replay", because: false, hint: "What was to be done is done now. Nothing is built twice by it." },
  discard: { title: "Discard", verb: "Discard", because: true, danger: true, hint: "It is forgotten for good: nothing is to be done about it." },
  apply: { title: "Apply the file", verb: "Apply", because: true, hint: "It is in force everywhere within half a minute, and what waits is looked at again. If another one is applied meanwhile, nothing is changed." },
  rollback: { title: "Go back", verb: "Go back", because: true, hint: "The file of then becomes a new version, and what waits is looked at again. If another one is applied meanwhile, nothing is changed." },
  release: { title: "Release", verb: "Release", because: true, hint: "It is built on again, and no canary has it quarantined again." },
};

export function Act({ what, target = {}, of = [], more = {}, about, label, small = true }) {
  if (!may(what)) return null;
  return html`<button type="button" class="${small ? "small" : ""} ${WORDS[what]?.danger ? "danger" : ""}" aria-haspopup="dialog" onClick=${() => asking.set({ what, target, of, more, about })}>${label ?? WORDS[what]?.verb ?? what}</button>`;
}

export function Dialog() {
  const asked = useSignal(asking);
  const box = useRef();
  const before = useRef();
  const [because, setBecause] = useState("");
  const [until, setUntil] = useState("");
  const [problem, setProblem] = useState("");
  const [busy, setBusy] = useState(false);
  useEffect(() => {
    if (!asked) return;
    before.current = document.activeElement;
    setBecause("");
    setUntil("");
    setProblem("");
    box.current.showModal();
  }, [asked]);
  if (!asked) return null;
  const words = WORDS[asked.what] ?? { title: asked.what, verb: asked.what, because: true, hint: "" };
  const close = () => {
    box.current?.close();
    asking.set(null);
    before.current?.focus?.();
  };
  const send = async (event) => {
    event.preventDefault();
    setBusy(true);
    try {
      const end = until ? new Date(Date.now() + Number(until) * 3_600_000).toISOString() : null;
      const found = await post("/api/acts", { what: asked.what, because, until: end, of: asked.of, ...asked.target, ...asked.more });
      close();
      note(`${words.title}: ${asked.about}. ${found.sentence}.`);
      lookSoon();
    } catch (error) {
      setProblem(error.message);
    } finally {
      setBusy(false);
    }
  };
  return html`<dialog ref=${box} aria-labelledby="dialog-title" onCancel=${(event) => { event.preventDefault(); close(); }}>
    <form onSubmit=${send}>
      <h2 id="dialog-title">${words.title}</h2>
      <p class="about">${asked.about}</p>
      <p class="muted">${words.hint}</p>
      ${words.until && html`<label>Until<select value=${until} onChange=${(event) => setUntil(event.target.value)}>
        <option value="">somebody resumes it</option><option value="1">in 1 hour</option><option value="4">in 4 hours</option>
        <option value="24">in 1 day</option><option value="72">in 3 days</option><option value="168">in 7 days</option></select></label>`}
      <label>Why${!words.because && " (optional)"}<input type="text" name="because" maxLength="500" required=${words.because} value=${because} autocomplete="off" onInput=${(event) => setBecause(event.target.value)} /></label>
      ${problem && html`<p class="note fail" role="alert"><${Icon} name="warn" /> ${problem}</p>`}
      <div class="buttons"><button type="button" onClick=${close}>Cancel</button><button type="submit" class="primary ${words.danger ? "danger" : ""}" disabled=${busy}>${words.verb}</button></div>
    </form>
  </dialog>`;
}

export function Notes() {
  const shown = useSignal(notes);
  const told = useSignal(said);
  const { problem } = useSignal(reached);
  return html`<${Fragment}>
    <div class="notes">
      ${problem && html`<p class="note fail"><${Icon} name="warn" /> ${problem}</p>`}
      ${shown.map((each) => html`<p class="note ${each.kind}" key=${each.id}><${Icon} name="check" /> ${each.text}</p>`)}
    </div>
    <div class="unseen" role="status" aria-live="polite">${told}</div>
  </${Fragment}>`;
}

// Why something waits, what ends it, and the act that does.
export function Holds({ attempt }) {
  return html`<ul class="holds">${attempt.waits.map((why) => html`<li key=${why.code + why.target}>
    <${Reason} code=${why.code} title=${why.title} />
    <span class="why">${why.sentence}</span>
    <span class="ends">${why.until ? html`ends <${Time} at=${why.until} end />` : html`ends by: ${why.ender}`}</span>
    <span class="acts"><${HoldActs} attempt=${attempt} why=${why} /></span>
  </li>`)}</ul>`;
}

export function HoldActs({ attempt, why }) {
  const about = `${attempt.task.name} on ${attempt.bases.map((base) => `${brief(base.split("@")[0])} (${short(base.split("@")[1])})`).join(", ")}`;
  if (why.code === "needs-approval") {
    return html`<${Act} what="approve" of=${[attempt.id]} target=${{ scope: "task", pattern: attempt.task.name }} about=${about} />
      <${Act} what="reject" of=${[attempt.id]} target=${{ scope: "task", pattern: attempt.task.name }} about=${about} />`;
  }
  if (why.code === "paused") {
    return html`<${Act} what="resume" target=${targetOf(why.target)} about=${why.target} />`;
  }
  if (why.code === "quarantined") {
    const digest = targetOf(why.target);
    return html`<${Act} what="release" target=${digest} about=${digest.pattern} />`;
  }
  return null;
}

export function targetOf(text) {
  const match = /^--(registry|task|base|digest) (.+)$/.exec(text);
  return match ? { scope: match[1], pattern: match[2] } : { scope: "all", pattern: "" };
}
