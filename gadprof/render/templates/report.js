(() => {
  "use strict";
  const root = document.documentElement;

  // light and dark: the reader's system decides until the button does
  const dark = () => root.dataset.theme
    ? root.dataset.theme === "dark"
    : matchMedia("(prefers-color-scheme: dark)").matches;
  document.getElementById("theme").addEventListener("click", () => {
    root.dataset.theme = dark() ? "light" : "dark";
  });

  function filter(table, rows) {
    const input = document.createElement("input");
    input.type = "search";
    input.placeholder = "filter rows";
    input.setAttribute("aria-label", "Filter rows");
    const shown = document.createElement("span");
    shown.className = "quiet";
    shown.setAttribute("role", "status");
    input.addEventListener("input", () => {
      const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      let count = 0;
      for (const row of rows) {
        const text = [...row.cells].map((cell) => cell.textContent).join("\t").toLowerCase();
        row.hidden = !words.every((word) => text.includes(word));
        count += row.hidden ? 0 : 1;
      }
      shown.textContent = words.length ? `${count} of ${rows.length}` : "";
    });
    return [input, shown];
  }

  // a table as text: exact values where a cell has one
  function cells(table) {
    const rows = [...table.tBodies[0].rows].filter((row) => !row.hidden);
    return [[...table.tHead.rows[0].cells].map((cell) => cell.textContent.replace(/ [▲▼]$/, "")),
      ...rows.map((row) => [...row.cells].map((cell) => cell.dataset.value ?? cell.textContent.trim()))];
  }
  const csv = (rows) => rows.map((row) => row.map((text) => {
    const safe = /^[=+\-@\t]/.test(text) && !/^-?[\d.]+(e[+-]?\d+)?$/i.test(text) ? `'${text}` : text;
    return /[",\n]/.test(safe) ? `"${safe.replace(/"/g, '""')}"` : safe;
  }).join(",")).join("\n") + "\n";
  const TEX = { "\\": "\\textbackslash{}", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}", "−": "$-$", "×": "$\\times$", "–": "--" };
  const tex = (text) => text.replace(/[\\{}$&#%_~^−×–]/g, (letter) => TEX[letter] ?? `\\${letter}`);
  const latex = (rows) => [`\\begin{tabular}{${"l".repeat(rows[0].length)}}`, "\\toprule",
    ...rows.map((row, index) => `${row.map(tex).join(" & ")} \\\\${index ? "" : "\n\\midrule"}`),
    "\\bottomrule", "\\end{tabular}"].join("\n") + "\n";
  function copier(name, text) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = `copy ${name}`;
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(text());
      } catch {  // a page opened from a file may lack the clipboard
        const area = document.createElement("textarea");
        area.value = text();
        document.body.append(area);
        area.select();
        document.execCommand("copy");
        area.remove();
      }
      button.textContent = "copied";
      setTimeout(() => { button.textContent = `copy ${name}`; }, 1200);
    });
    return button;
  }

  // a tree's rows as an icicle: a level a line, widths by a chosen column; a click zooms in, and
  // names the row in the table
  function icicle(table, tools) {
    const heads = [...table.tHead.rows[0].cells].map((cell) => cell.textContent);
    const nodes = [...table.tBodies[0].rows].map((row) => ({ row, level: Number(row.dataset.level), below: [] }));
    const path = [];
    for (const node of nodes) {
      path.length = node.level;
      node.above = path[node.level - 1] ?? null;
      if (node.above) node.above.below.push(node);
      path[node.level] = node;
      node.name = node.row.cells[table.dataset.tree].textContent.trim();
    }
    const whole = nodes[0];
    if (!whole || !whole.below.length) return;
    const measures = table.dataset.measures.split(" ").map(Number);
    const select = document.createElement("select");
    select.setAttribute("aria-label", "What the widths show");
    for (const index of measures) select.append(new Option(heads[index], index));
    select.value = measures.find((index) => heads[index] === "MACs") ?? measures[0];
    tools.prepend(select);
    const holder = document.createElement("div");
    holder.className = "icicle";
    holder.setAttribute("role", "group");
    holder.setAttribute("aria-label", "Modules by share; Enter zooms in, Escape out");
    tools.after(holder);
    const value = (node) => Number(node.row.cells[select.value].dataset.value ?? 0);
    const text = (node) => node.row.cells[select.value].textContent;
    let top = whole;
    function draw(focus) {
      holder.replaceChildren();
      const total = value(top) || 1;
      const place = (node, left, level) => {
        const width = value(node) / total;
        if (width < 0.002) return;
        const bar = document.createElement("button");
        bar.type = "button";
        bar.style.cssText = `left:${100 * left}%;width:${100 * width}%;top:${1.6 * level}rem;background:${node.row.dataset.color}`;
        if (width > 0.03) bar.textContent = node.name;
        tipped(bar, `${node.name}\n${text(node)} ${heads[select.value]}, ${(100 * width).toFixed(1)} % of ${top.name}`, "button");
        bar.addEventListener("click", () => {
          top = node === top && node.above ? node.above : node.below.length ? node : top;
          for (const other of nodes) other.row.classList.toggle("found", other === node);
          node.row.scrollIntoView({ block: "nearest" });
          draw(node);
        });
        bar.node = node;
        holder.append(bar);
        let at = left;
        for (const child of node.below) { place(child, at, level + 1); at += value(child) / total; }
      };
      place(top, 0, 0);
      const depth = Math.max(...[...holder.children].map((bar) => parseFloat(bar.style.top)));
      holder.style.height = `${depth + 1.6}rem`;
      if (focus) ([...holder.children].find((bar) => bar.node === focus) ?? holder.firstChild)?.focus({ preventScroll: true });
    }
    holder.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && top.above) { const left = top; top = top.above; draw(left); }
    });
    select.addEventListener("change", () => draw(null));
    draw(null);
  }

  // exact numbers by value (BigInt where all digits matter), words by language, gaps last
  function compare(a, b, sign) {
    const x = a.dataset.value, y = b.dataset.value;
    if (x !== undefined && y !== undefined) {
      if (/^-?\d+$/.test(x) && /^-?\d+$/.test(y)) {
        const p = BigInt(x), q = BigInt(y);
        return p < q ? -sign : p > q ? sign : 0;
      }
      return sign * (Number(x) - Number(y));
    }
    if (x !== undefined) return -1;
    if (y !== undefined) return 1;
    const s = a.textContent, t = b.textContent;
    if (s === "–" || t === "–") return s === t ? 0 : s === "–" ? 1 : -1;
    return sign * s.localeCompare(t, undefined, { numeric: true });
  }

  const printed = [];
  addEventListener("beforeprint", () => {
    for (const item of document.querySelectorAll("details:not([open])")) {
      item.open = true;
      printed.push(item);
    }
  });
  addEventListener("afterprint", () => { for (const item of printed.splice(0)) item.open = false; });

  // one tip for every mark, by mouse, finger or keyboard
  const tip = document.getElementById("tip");
  function place(x, y) {
    const box = tip.getBoundingClientRect();
    tip.style.left = `${Math.max(4, Math.min(x + 14, innerWidth - box.width - 4))}px`;
    tip.style.top = `${y + 18 + box.height > innerHeight ? Math.max(4, y - box.height - 10) : y + 18}px`;
  }
  function tipped(mark, text, role = "img") {
    mark.setAttribute("tabindex", "0");
    mark.setAttribute("aria-label", text.replace(/\n/g, ", "));
    mark.setAttribute("role", role);
    const show = (x, y) => { tip.textContent = text; tip.hidden = false; place(x, y); };
    mark.addEventListener("pointerenter", (event) => show(event.clientX, event.clientY));
    mark.addEventListener("pointermove", (event) => place(event.clientX, event.clientY));
    mark.addEventListener("pointerleave", () => { tip.hidden = true; });
    mark.addEventListener("focus", () => {
      const box = mark.getBoundingClientRect();
      show(box.x + box.width / 2, box.y + box.height / 2);
    });
    mark.addEventListener("blur", () => { tip.hidden = true; });
    return mark;
  }

  // tables: sort by a click on a heading, filter by words
  for (const table of document.querySelectorAll("table[data-table]")) {
    const body = table.tBodies[0];
    const original = [...body.rows];
    [...table.tHead.rows[0].cells].forEach((head, index) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = head.textContent;
      const arrow = document.createElement("span");
      arrow.setAttribute("aria-hidden", "true");
      head.replaceChildren(button, arrow);
      button.addEventListener("click", () => {
        const before = head.getAttribute("aria-sort");
        for (const other of table.tHead.rows[0].cells) {
          other.removeAttribute("aria-sort");
          other.querySelector("span").textContent = "";
        }
        const next = before === null ? "ascending" : before === "ascending" ? "descending" : null;
        if (next === null) { body.append(...original); return; }
        head.setAttribute("aria-sort", next);
        arrow.textContent = next === "ascending" ? " ▲" : " ▼";
        const sign = next === "ascending" ? 1 : -1;
        body.append(...[...original].sort((a, b) => compare(a.cells[index], b.cells[index], sign)));
      });
    });
    const tools = document.createElement("div");
    tools.className = "tools";
    table.closest(".scroll").before(tools);
    if (original.length > 3) tools.append(...filter(table, original));
    for (const [name, text] of [["CSV", csv], ["LaTeX", latex]]) tools.append(copier(name, () => text(cells(table))));
    if (table.dataset.tree !== undefined) icicle(table, tools);
  }

  // a waterfall's step leads to its row of the ledger, by a click or Enter
  const links = JSON.parse(document.getElementById("links").textContent);
  const ledger = [...(document.querySelector("table[data-table=ledger]")?.tBodies[0].rows ?? [])];
  function linked(mark, row) {
    const go = () => {
      for (const other of ledger) other.classList.toggle("found", other === row);
      row.hidden = false;
      row.closest("details").open = true;
      row.scrollIntoView({ block: "center" });
    };
    mark.setAttribute("role", "link");
    mark.addEventListener("click", go);
    mark.addEventListener("keydown", (event) => { if (event.key === "Enter") go(); });
  }

  for (const [key, texts] of Object.entries(JSON.parse(document.getElementById("tips").textContent))) {
    const drawing = document.querySelector(`figure[data-plot="${key}"] svg`);
    if (texts.length) drawing.removeAttribute("aria-hidden");
    texts.forEach((text, index) => {
      const mark = document.getElementById(`tip-${key}-${index}`);
      if (!mark) return;
      tipped(mark, text);
      const row = ledger[links[key]?.[index] ?? -1];
      if (row) linked(mark, row);
    });
  }
})();
