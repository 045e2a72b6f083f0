// What every page needs: elements, the address, answers of the API, what is live, and words.
import { Fragment, createContext, h, render } from "./vendor/preact.js";
import { useCallback, useContext, useEffect, useLayoutEffect, useMemo, useRef, useState } from "./vendor/hooks.js";
import htm from "./vendor/htm.js";

export const html = htm.bind(h);
export { Fragment, createContext, render, useCallback, useContext, useEffect, useLayoutEffect, useMemo, useRef, useState };

// A value that components listen to.
export function signal(value) {
  const listeners = new Set();
  return {
    get: () => value,
    set(next) {
      if (Object.is(next, value)) return;
      value = next;
      for (const listener of [...listeners]) listener(value);
    },
    listen(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}

export function useSignal(source) {
  const [value, set] = useState(source.get());
  useLayoutEffect(() => {
    set(source.get());
    return source.listen(set);
  }, [source]);
  return value;
}

// The address: a page, and what it is asked, so that whatever is seen can be sent to somebody.
const read = () => ({
  path: location.pathname.replace(/\/+$/, "") || "/",
  query: Object.fromEntries(new URLSearchParams(location.search)),
});
export const route = signal(read());

export function address(path, query = {}) {
  const found = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== "" && value !== null && value !== undefined) found.set(name, value);
  }
  const text = found.toString();
  return text ? `${path}?${text}` : path;
}

export function go(to, { replace = false } = {}) {
  history[replace ? "replaceState" : "pushState"](null, "", to);
  route.set(read());
}

export function ask(query) {
  const { path, query: before } = route.get();
  go(address(path, { ...before, ...query }), { replace: true });
}

addEventListener("popstate", () => route.set(read()));
document.addEventListener("click", (event) => {
  const link = event.target.closest?.("a[href]");
  if (!link || event.defaultPrevented || event.button !== 0) return;
  if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  const to = new URL(link.href, location.href);
  if (to.origin !== location.origin || link.target || link.hasAttribute("download")) return;
  if (to.hash && to.pathname === location.pathname && to.search === location.search) return;
  event.preventDefault();
  go(to.pathname + to.search);
});

// Answers.
export class Problem extends Error {
  constructor(status, code, text) {
    super(text);
    this.status = status;
    this.code = code;
  }
}

async function answered(path, options) {
  let answer;
  try {
    answer = await fetch(path, { credentials: "same-origin", redirect: "error", ...options });
  } catch {
    throw new Problem(0, "unreachable", "The server does not answer. What is shown may be old.");
  }
  if (answer.status === 304) return null;
  let found = null;
  try {
    found = await answer.json();
  } catch {
    found = null;
  }
  if (!answer.ok || found === null) {
    const text = found?.problem ?? `The server answered ${answer.status}.`;
    throw new Problem(answer.status, found?.code ?? "unreadable", text);
  }
  return found;
}

export const get = (path, query, options) =>
  answered(address(path, query), { cache: "no-cache", ...options });
export const post = (path, body) =>
  answered(path, {
    method: "POST",
    body: JSON.stringify(body),
    headers: { "Content-Type": "application/json", "X-Rebuilder": "1" },
  });

// What is live: every change is a new generation, for which pages ask again.
export const generation = signal(0);
export const reached = signal({ at: Date.now(), problem: "" });
export const said = signal("");
const QUICK = 5_000;
const SLOW = 30_000;
const EXPECTING = 60_000;
let known = "";
let timer = 0;
let expecting = 0; // until then, something comes of what was asked for

async function look() {
  clearTimeout(timer);
  if (document.hidden) return;
  let wait = SLOW;
  try {
    const found = await get("/api/changes", { since: known }, { cache: "no-store" });
    if (found) {
      if (known && known !== found.state) generation.set(generation.get() + 1);
      known = found.state;
      look.busy = found.busy;
    }
    if (look.busy || Date.now() < expecting) wait = QUICK;
    reached.set({ at: Date.now(), problem: "" });
  } catch (problem) {
    wait = QUICK;
    reached.set({ ...reached.get(), problem: problem.message });
  }
  timer = setTimeout(look, wait);
}

export function startLooking() {
  document.addEventListener("visibilitychange", look);
  look();
}

export function lookSoon() {
  expecting = Date.now() + EXPECTING;
  clearTimeout(timer);
  timer = setTimeout(look, 700);
}

// An answer that stays while the next one is on its way, so that nothing jumps.
export function useAnswer(path, query = {}, { live = true } = {}) {
  const now = useSignal(generation);
  const wanted = path ? address(path, query) : "";
  const [state, set] = useState({ wanted: "", value: null, problem: null });
  useEffect(() => {
    if (!wanted) return undefined;
    let over = false;
    answered(wanted, { cache: "no-cache" }).then(
      (value) => over || set({ wanted, value, problem: null }),
      (problem) => over || set((before) => ({ wanted, value: before.wanted === wanted ? before.value : null, problem })),
    );
    return () => {
      over = true;
    };
  }, [wanted, live ? now : 0]);
  return { value: state.wanted === wanted ? state.value : null, stale: state.value, problem: state.wanted === wanted ? state.problem : null };
}

// Who asks.
export const me = signal(null);
export const may = (what) => me.get()?.acts.includes(what) ?? false;

// Words.
export const inUtc = signal(remembered("utc") !== "no");
export function remembered(name) {
  try {
    return localStorage.getItem(`rebuilder.${name}`);
  } catch {
    return null;
  }
}
export function remember(name, value) {
  try {
    localStorage.setItem(`rebuilder.${name}`, value);
  } catch {
    // A browser that keeps nothing asks again.
  }
}

const two = (number) => String(number).padStart(2, "0");
export function clock(value, utc = inUtc.get()) {
  const at = new Date(value);
  const [year, month, day, hour, minute] = utc
    ? [at.getUTCFullYear(), at.getUTCMonth(), at.getUTCDate(), at.getUTCHours(), at.getUTCMinutes()]
    : [at.getFullYear(), at.getMonth(), at.getDate(), at.getHours(), at.getMinutes()];
  return `${year}-${two(month + 1)}-${two(day)} ${two(hour)}:${two(minute)}${utc ? " UTC" : ""}`;
}

export function span(milliseconds) {
  const minutes = Math.round(Math.abs(milliseconds) / 60_000);
  if (minutes < 1) return `${Math.max(1, Math.round(Math.abs(milliseconds) / 1000))} s`;
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return minutes % 60 ? `${hours} h ${two(minutes % 60)}` : `${hours} h`;
  return `${Math.round(hours / 24)} d`;
}

export const hours = (value) => (value === null || value === undefined ? "unknown" : span(value * 3_600_000));
export const short = (digest) => (digest ? digest.replace(/^sha\d+:/, "").slice(0, 10) : "unknown");
export const brief = (image) => {
  const parts = image.split("/");
  return parts.length > 1 && /[.:]/.test(parts[0]) ? parts.slice(1).join("/") : image;
};
export const plural = (number, one, many = `${one}s`) => `${number} ${number === 1 ? one : many}`;
export const taskAddress = (name) => address("/task", { name });
export const pushAddress = (key) => address("/push", { key });
export const baseOf = (base) => base.replace(/@.*$/, "");
export const digestOf = (base) => base.split("@")[1] ?? "";
export const imageOfPush = (key) => {
  const [registry, repository, tag] = key.split("|");
  return `${registry.split("/").pop()}/${repository}:${tag}`;
};
