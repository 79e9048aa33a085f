"use strict";
// Tables: sort by a click on a head (again: the other way; a third time: the order of the page), search, families on and off.
for (const box of document.querySelectorAll(".table")) {
  const table = box.querySelector("table"), heads = [...table.tHead.rows[0].cells];
  const bodies = [...table.tBodies], home = new Map();
  const rows = bodies.flatMap(body => [...body.rows].filter(row => !row.classList.contains("block")));
  rows.forEach((row, i) => {
    home.set(row, [row.parentNode, i]);
    const block = row.parentNode.dataset.block;
    if (block) row.dataset.family = block.toLowerCase();
  });
  const back = () => { rows.forEach(row => home.get(row)[0].append(row)); table.classList.remove("sorted"); };
  const key = (row, i) => {
    const text = row.cells[i].dataset.sort, value = parseFloat(text);
    return text === "" ? null : String(value) === text || !Number.isNaN(Number(text)) ? value : text;
  };
  heads.forEach((head, i) => head.querySelector("button").addEventListener("click", () => {
    const before = head.getAttribute("aria-sort"), first = head.classList.contains("number") ? "descending" : "ascending";
    const other = first === "descending" ? "ascending" : "descending";
    const now = before === null ? first : before === first ? other : null;
    heads.forEach(h => h.removeAttribute("aria-sort"));
    if (now === null) { back(); return; }
    head.setAttribute("aria-sort", now);
    const sign = now === "ascending" ? 1 : -1;
    const sorted = [...rows].sort((a, b) => {
      const x = key(a, i), y = key(b, i);
      if (x === null || y === null) return (x === null) - (y === null); // what is missing comes last, either way
      const order = typeof x === "number" && typeof y === "number" ? x - y : String(x).localeCompare(String(y));
      return order ? sign * order : home.get(a)[1] - home.get(b)[1];
    });
    sorted.forEach(row => bodies[0].append(row));
    table.classList.add("sorted");
  }));
  const tools = box.querySelector(".tools");
  if (!tools) continue;
  tools.hidden = false;
  const search = tools.querySelector("input[type=search]"), chips = [...tools.querySelectorAll(".chip input")], count = tools.querySelector(".count");
  const show = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean), off = chips.filter(c => !c.checked).map(c => c.value.toLowerCase());
    let seen = 0;
    for (const row of rows) {
      const text = row.textContent.toLowerCase(), there = words.every(w => text.includes(w)) && !off.includes(row.dataset.family || "");
      row.hidden = !there;
      seen += there;
    }
    for (const body of bodies) {
      const head = body.querySelector(".block");
      if (head) head.hidden = !rows.some(row => home.get(row)[0] === body && !row.hidden);
    }
    count.textContent = seen === rows.length ? `${seen} rows` : `${seen} of ${rows.length} rows`;
  };
  [search, ...chips].forEach(input => input.addEventListener("input", show));
  show();
}

// What is wider than its place fades out where it goes on, and says so.
for (const box of document.querySelectorAll(".scroll, .picture")) {
  const heads = [...box.querySelectorAll("thead th")], hint = document.createElement("p");
  hint.className = "more";
  hint.ariaHidden = true;
  hint.hidden = true;
  box.before(hint);
  box.classList.add("edge");
  const look = () => {
    const right = box.scrollLeft + box.clientWidth, wide = box.scrollWidth > box.clientWidth + 1;
    const beyond = heads.filter(head => head.offsetLeft + head.offsetWidth > right + 1).length;
    box.classList.toggle("before", wide && box.scrollLeft > 1);
    box.classList.toggle("after", wide && right < box.scrollWidth - 1);
    hint.hidden = !wide;
    hint.style.visibility = box.classList.contains("after") ? "" : "hidden";
    hint.textContent = heads.length ? `${beyond} more column${beyond === 1 ? "" : "s"} →` : "goes on →";
  };
  box.addEventListener("scroll", look, { passive: true });
  new ResizeObserver(look).observe(box);
}

// A number leads to the runs that it is from: their commands and configs, in a sheet; without this script, to their places below.
const sheet = document.getElementById("sheet");
const slug = place => place.replace(/[^A-Za-z0-9_.-]+/g, "-");
document.addEventListener("click", event => {
  const link = event.target.closest("a[data-runs]");
  if (!link || !sheet.showModal || event.metaKey || event.ctrlKey) return;
  event.preventDefault();
  const cell = link.closest("td"), head = cell.closest("table").tHead.rows[0].cells[cell.cellIndex];
  document.getElementById("sheet-title").textContent = `${cell.parentNode.cells[0].textContent.trim()} · ${[...head.querySelectorAll("b, span")].map(e => e.textContent.trim()).join(", ")}`;
  const body = document.getElementById("sheet-body");
  const line = document.createElement("p");
  line.textContent = [link.textContent, cell.title].filter(Boolean).join("  ·  ");
  body.replaceChildren(line);
  for (const place of link.dataset.runs.split("\n")) {
    const run = document.getElementById(`run-${slug(place)}`);
    if (!run) continue;
    const copy = run.cloneNode(true);
    copy.removeAttribute("id");
    copy.open = true;
    const command = copy.querySelector("pre");
    if (command && navigator.clipboard) {
      const button = document.createElement("button");
      button.className = "copy";
      button.textContent = "copy command";
      button.addEventListener("click", () => navigator.clipboard.writeText(command.textContent).then(() => { button.textContent = "copied"; }));
      command.after(button);
    }
    const part = document.createElement("div");
    part.className = "runs";
    part.append(copy);
    body.append(part);
  }
  sheet.showModal();
});
sheet.addEventListener("click", event => { if (event.target === sheet) sheet.close(); });

// A link to a run below opens it; small screens begin with the contents closed; for print everything is open.
const open = () => { const target = document.getElementById(decodeURIComponent(location.hash.slice(1))); if (target instanceof HTMLDetailsElement) target.open = true; };
addEventListener("hashchange", open);
open();
const contents = document.querySelector("nav details");
if (contents && matchMedia("(max-width: 640px)").matches) contents.open = false;
addEventListener("beforeprint", () => document.querySelectorAll(".exhibit details, .aside").forEach(d => { d.open = true; }));
