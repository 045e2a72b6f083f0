import { Fragment, address, ask, brief, go, html, taskAddress, useAnswer, useEffect, useLayoutEffect, useMemo, useRef, useState } from "../lib.js";
import { Empty, Icon, Section, State, Wait, pathOf } from "../ui.js";

const WIDTH = 232;
const HEIGHT = 46;
const COLOURS = { current: "good", building: "run", waiting: "wait", retrying: "wait", failed: "fail", stale: "stale", unknown: "none" };
const link = (node, depth) => address("/graph", { focus: node.label, depth });
const cut = (text, most) => (text.length > most ? `…${text.slice(1 - most)}` : text);

export default function Graph({ query }) {
  const depth = query.depth ?? "2";
  const { value, stale, problem } = useAnswer(query.focus ? "/api/graph" : "", { focus: query.focus, depth });
  const [text, setText] = useState(query.focus ?? "");
  useEffect(() => setText(query.focus ?? ""), [query.focus]);
  const found = value ?? (problem ? null : stale);
  return html`<${Fragment}>
    <div class="head"><h1>Graph</h1>${found && html`<p class="muted" role="status">${found.nodes.length} images and tasks${found.cut ? ", and more that are left out" : ""}</p>`}</div>
    <form class="filters" onSubmit=${(event) => { event.preventDefault(); if (text.trim()) go(address("/graph", { focus: text.trim(), depth })); }}>
      <label>Around<input type="search" value=${text} size="44" placeholder="an image, or REGISTRY/TASK" onInput=${(event) => setText(event.target.value)} /></label>
      <label>Steps<select value=${depth} onChange=${(event) => ask({ depth: event.target.value })}>${[1, 2, 3, 4, 6, 8, 12].map((number) => html`<option key=${number} value=${String(number)} selected=${String(number) === depth}>${number}</option>`)}</select></label>
      <button type="submit">Draw</button>
    </form>
    ${!query.focus && html`<${Begin} />`}
    ${query.focus && !found && html`<${Wait} problem=${problem} what=${query.focus} />`}
    ${found && html`<div class="graph"><${Drawn} found=${found} depth=${depth} /><${Section} title="The same as a list" id="as-list"><${Listed} found=${found} depth=${depth} /></${Section}></div>`}
  </${Fragment}>`;
}

function Begin() {
  const { value: now } = useAnswer("/api/tasks", { limit: 60 });
  const images = useMemo(() => {
    const counted = new Map();
    for (const row of now?.tasks ?? []) for (const base of row.bases) counted.set(base.image, (counted.get(base.image) ?? 0) + 1);
    return [...counted].sort((a, b) => b[1] - a[1]).slice(0, 20);
  }, [now]);
  return html`<${Section} title="Begin with" id="begin"><p class="muted">A graph is drawn around one image or task, never of everything. Each row is what some tasks stand on.</p>
    ${!now && html`<${Wait} what="images" />`}
    <ul class="rows">${images.map(([image, count]) => html`<li key=${image} class="row"><a href=${address("/graph", { focus: image, depth: 2 })}>${brief(image)}</a><span class="muted">read by ${count} of the first tasks</span></li>`)}</ul></${Section}>`;
}

function Drawn({ found, depth }) {
  const [dagre, set] = useState(null);
  const [zoom, setZoom] = useState(1);
  const box = useRef();
  useEffect(() => {
    import("../vendor/dagre.js").then((module) => set(module.default ?? module));
  }, []);
  const drawn = useMemo(() => {
    if (!dagre) return null;
    const graph = new dagre.graphlib.Graph({ multigraph: true });
    graph.setGraph({ rankdir: "LR", nodesep: 14, ranksep: 64, marginx: 14, marginy: 14 });
    graph.setDefaultEdgeLabel(() => ({}));
    for (const node of found.nodes) graph.setNode(node.id, { width: WIDTH, height: HEIGHT, node });
    for (const edge of found.edges) graph.setEdge(edge.source, edge.target, { kind: edge.kind }, edge.kind);
    dagre.layout(graph);
    return graph;
  }, [dagre, found]);
  // As much of it as can still be read.
  useLayoutEffect(() => {
    if (drawn && box.current) setZoom(Math.min(1, Math.max(0.7, (box.current.clientWidth - 4) / drawn.graph().width)));
  }, [drawn]);
  if (!drawn) return html`<${Wait} what="the layout" />`;
  const { width, height } = drawn.graph();
  return html`<div>
    <div class="buttons zoom"><button type="button" class="small" aria-label="Smaller" onClick=${() => setZoom(Math.max(0.4, zoom - 0.2))}>−</button><button type="button" class="small" aria-label="Larger" onClick=${() => setZoom(Math.min(2, zoom + 0.2))}>+</button><button type="button" class="small" onClick=${() => setZoom(1)}>${Math.round(zoom * 100)} %</button></div>
    <div class="canvas" ref=${box} tabindex="0" role="region" aria-label="The graph; it can be scrolled. The list holds the same.">
    <svg width=${width * zoom} height=${height * zoom} viewBox="0 0 ${width} ${height}" role="group" aria-label="Graph around ${found.focus.replace(/^\w+:/, "")}">
      <defs><marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto"><path d="M1 1l6 3-6 3" class="edge" /></marker></defs>
      ${drawn.edges().map((edge) => html`<path key=${`${edge.v} ${edge.w} ${edge.name}`} class="edge ${drawn.edge(edge).kind === "runtime" || drawn.edge(edge).kind === "makes" ? "" : "weak"}" marker-end="url(#arrow)" d=${curve(drawn.edge(edge).points)} />`)}
      ${drawn.nodes().map((id) => html`<${Drop} key=${id} place=${drawn.node(id)} focus=${id === found.focus} depth=${depth} />`)}
    </svg></div></div>`;
}

function curve(points) {
  const [first, ...rest] = points;
  const last = rest[rest.length - 1];
  if (rest.length < 2) return `M${first.x} ${first.y}L${last.x} ${last.y}`;
  let path = `M${first.x} ${first.y}`;
  for (let number = 0; number < rest.length - 1; number += 1) {
    const here = rest[number];
    const after = rest[number + 1];
    const end = number === rest.length - 2 ? after : { x: (here.x + after.x) / 2, y: (here.y + after.y) / 2 };
    path += `Q${here.x} ${here.y} ${end.x} ${end.y}`;
  }
  return path;
}

function Drop({ place, focus, depth }) {
  const { node } = place;
  const left = place.x - WIDTH / 2;
  const top = place.y - HEIGHT / 2;
  const colour = COLOURS[node.standing] ?? "none";
  const name = node.kind === "image" ? brief(node.label) : node.label;
  const seen = cut(name, node.kind === "task" ? 29 : 32);
  const below = node.kind === "task" ? node.standing : node.digest ? node.digest.replace(/^sha\d+:/, "").slice(0, 10) : "no push was told";
  return html`<a href=${link(node, depth)} class="${node.kind}-node ${focus ? "focus" : ""}" aria-current=${focus ? "true" : undefined}>
    <title>${node.kind} ${node.label}</title>
    <rect x=${left} y=${top} width=${WIDTH} height=${HEIGHT} rx=${node.kind === "task" ? 22 : 6} />
    <g class=${colour}>${node.kind === "task" && html`<path class="mark" transform="translate(${left + 12} ${place.y - 8})" d=${pathOf(node.standing)} />`}</g>
    <text x=${left + (node.kind === "task" ? 34 : 12)} y=${place.y - 4}>${seen}</text>
    ${node.kind === "task" ? html`<g class=${colour}><text class="word sub" x=${left + 34} y=${place.y + 13}>${node.standing}</text></g>` : html`<text class="sub" x=${left + 12} y=${place.y + 13}>${below}</text>`}
  </a>`;
}

function Listed({ found, depth }) {
  const nodes = new Map(found.nodes.map((node) => [node.id, node]));
  const below = new Map();
  const above = new Map();
  for (const edge of found.edges) {
    below.set(edge.source, [...(below.get(edge.source) ?? []), edge]);
    above.set(edge.target, [...(above.get(edge.target) ?? []), edge]);
  }
  const seen = new Set();
  const branch = (id, edges, end) => {
    if (seen.has(id)) return null;
    seen.add(id);
    const next = (edges.get(id) ?? []).filter((edge) => nodes.has(edge[end]) && !seen.has(edge[end]));
    return next.length > 0 && html`<ul>${next.map((edge) => html`<li key=${edge[end] + edge.kind}><${One} node=${nodes.get(edge[end])} kind=${edge.kind} depth=${depth} />${branch(edge[end], edges, end)}</li>`)}</ul>`;
  };
  const focus = nodes.get(found.focus);
  const up = branch(found.focus, above, "source");
  seen.delete(found.focus);
  const down = branch(found.focus, below, "target");
  return html`<p><strong>${brief(focus.label)}</strong>${focus.kind === "task" && html` <a href=${taskAddress(focus.label)}>the task</a>`}${focus.kind === "image" && html` <a href=${address("/tasks", { base: focus.label })}>who reads it</a>`}</p>
    <h3>It stands on</h3><div class="tree">${up || html`<${Empty}>Nothing that is known.</${Empty}>`}</div>
    <h3>On it stands</h3><div class="tree">${down || html`<${Empty}>Nothing that is known.</${Empty}>`}</div>`;
}

const One = ({ node, kind, depth }) =>
  html`<a href=${node.kind === "task" ? taskAddress(node.label) : link(node, depth)}>${brief(node.label)}</a> ${node.kind === "task" ? html`<${State} is=${node.standing} />` : ""} ${kind !== "makes" && kind !== "runtime" && html`<span class="muted">${kind}</span>`}`;
