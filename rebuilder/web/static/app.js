// The frame: where one is, where one can go, what holds for all pages.
import { Fragment, get, html, inUtc, me, remember, render, route, said, startLooking, useAnswer, useEffect, useRef, useSignal, useState } from "./lib.js";
import { Dialog, Icon, Notes, Wait } from "./ui.js";

const PAGES = [
  { path: "/", title: "Now", icon: "now", file: "now" },
  { path: "/tasks", title: "Images", icon: "images", file: "tasks" },
  { path: "/pushes", title: "Pushes", icon: "push", file: "pushes" },
  { path: "/waves", title: "Waves and approvals", icon: "wave", file: "waves" },
  { path: "/graph", title: "Graph", icon: "graph", file: "graph" },
  { path: "/policies", title: "Policies", icon: "policy", file: "policies" },
  { path: "/report", title: "Report", icon: "report", file: "report" },
  { path: "/health", title: "Health", icon: "health", file: "health" },
  { path: "/audit", title: "Audit", icon: "audit", file: "audit" },
];
const INSIDE = [
  { path: "/task", title: "Task", of: "/tasks", file: "task" },
  { path: "/push", title: "Push", of: "/pushes", file: "push" },
];
const ALL = [...PAGES, ...INSIDE];

function Nav({ here }) {
  const { value: now } = useAnswer("/api/now");
  const counts = now ? { "/waves": now.counts.waiting, "/health": now.counts.deadLetters } : {};
  return html`<nav aria-label="Pages"><ul>${PAGES.map((page) => html`<li key=${page.path}>
    <a href=${page.path} aria-current=${here === page.path ? "page" : undefined}><${Icon} name=${page.icon} /><span>${page.title}</span>
    ${counts[page.path] > 0 && html`<span class="badge ${page.path === "/health" ? "fail" : ""}">${counts[page.path]}<span class="unseen">${page.path === "/health" ? " dead letters" : " waiting"}</span></span>`}</a></li>`)}</ul></nav>`;
}

function Page({ page, query }) {
  const [shown, set] = useState(null);
  useEffect(() => {
    let over = false;
    import(`./pages/${page.file}.js`).then(
      (found) => over || set({ file: page.file, View: found.default }),
      () => over || set({ file: page.file, failed: true }),
    );
    return () => {
      over = true;
    };
  }, [page.file]);
  if (!shown || shown.file !== page.file) return html`<${Wait} what=${page.title} />`;
  if (shown.failed) return html`<${Wait} problem=${new Error("This page cannot be loaded. Reload it.")} />`;
  return html`<${shown.View} query=${query} />`;
}

function App() {
  const { path, query } = useSignal(route);
  const who = useSignal(me);
  const utc = useSignal(inUtc);
  const main = useRef();
  const first = useRef(true);
  const page = ALL.find((each) => each.path === path);
  useEffect(() => {
    document.title = `${page?.title ?? "Not found"}${query.name ? ` ${query.name}` : ""} · ACR Rebuilder`;
    if (first.current) {
      first.current = false;
      return;
    }
    scrollTo(0, 0);
    main.current?.focus({ preventScroll: true });
    said.set(page?.title ?? "Not found");
  }, [path, query.name, query.key]);
  return html`<${Fragment}>
    <a class="skip" href="#main" onClick=${(event) => { event.preventDefault(); main.current.focus(); }}>Skip to the page</a>
    <header class="bar">
      <a class="brand" href="/"><img src="/icon.svg" alt="" width="22" height="22" /> ACR Rebuilder</a>
      <span class="grow"></span>
      <button type="button" class="quiet" aria-pressed=${utc ? "true" : "false"} title="Show times in UTC, or in the time of this machine" onClick=${() => { remember("utc", utc ? "no" : "yes"); inUtc.set(!utc); }}>${utc ? "UTC" : "Local time"}</button>
      ${who && html`<span class="who" title=${who.roles.join(", ")}>${who.name}<span class="muted"> ${who.roles.length === 4 ? "all roles" : who.roles.join(", ")}</span></span>`}
    </header>
    <div class="frame">
      <${Nav} here=${page?.of ?? path} />
      <main id="main" tabindex="-1" ref=${main}>
        ${page ? html`<${Page} page=${page} query=${query} />` : html`<h1>Not found</h1><p>There is no page here. <a href="/">Now</a> is a good beginning.</p>`}
      </main>
    </div>
    <${Dialog} />
    <${Notes} />
  </${Fragment}>`;
}

get("/api/me").then((found) => me.set(found), () => me.set(null));
render(html`<${App} />`, document.getElementById("app"));
startLooking();
