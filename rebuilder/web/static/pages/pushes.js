import { Fragment, ask, brief, html, plural, pushAddress } from "../lib.js";
import { Digest, Table, Time, Wait, When } from "../ui.js";
import { usePages } from "./tasks.js";

const day = (date) => date.toISOString().slice(0, 10);

export default function Pushes({ query }) {
  const chosen = query.day ?? day(new Date());
  const { rows, next, problem, done, more } = usePages("/api/pushes", { day: chosen, limit: 100 }, (page) => page.pushes);
  const move = (days) => {
    const to = day(new Date(Date.parse(`${chosen}T12:00:00Z`) + days * 86_400_000));
    ask({ day: to >= day(new Date()) ? "" : to });
  };
  const columns = [
    { name: "image", title: "Image", class: "full", cell: (push) => html`<a href=${pushAddress(push.key)}>${brief(push.image)}</a>` },
    { name: "digest", title: "Digest", class: "w-moved", cell: (push) => html`<${Digest} of=${push.digest} bare />` },
    { name: "at", title: "First told", cell: (push) => html`<${Time} at=${push.at} /> <span class="muted"><${When} at=${push.at} /></span>` },
  ];
  return html`<${Fragment}>
    <div class="head"><h1>Pushes</h1><p class="muted" role="status">${done ? `${plural(rows.length, "push", "pushes")}${next ? ", more as you scroll" : ""}` : "Looking …"}</p></div>
    <form class="filters" onSubmit=${(event) => event.preventDefault()}>
      <label>Day, in UTC<input type="date" value=${chosen} max=${day(new Date())} onChange=${(event) => event.target.value && ask({ day: event.target.value })} /></label>
      <button type="button" onClick=${() => move(-1)}>Day before</button>
      <button type="button" onClick=${() => move(1)} disabled=${chosen >= day(new Date())}>Day after</button>
    </form>
    ${problem && html`<${Wait} problem=${problem} />`}
    ${done && rows.length === 0 && !problem && html`<p class="empty">Nothing was told of on this day.</p>`}
    ${rows.length > 0 && html`<${Table} caption="Pushes of ${chosen}" columns=${columns} rows=${rows} keyOf=${(push) => push.key} more=${more} narrow=${74} />`}
  </${Fragment}>`;
}
