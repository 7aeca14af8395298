(() => {
  "use strict";
  const COLORS = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#C9B800"];
  const OTHER = "#999999";
  const SVG = "http://www.w3.org/2000/svg";
  const root = document.documentElement;

  // light and dark: the reader's system decides until the button does
  const dark = () => root.dataset.theme
    ? root.dataset.theme === "dark"
    : matchMedia("(prefers-color-scheme: dark)").matches;
  document.getElementById("theme").addEventListener("click", () => {
    root.dataset.theme = dark() ? "light" : "dark";
  });

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
    if (original.length < 4) continue;
    const tools = document.createElement("div");
    tools.className = "tools";
    const input = document.createElement("input");
    input.type = "search";
    input.placeholder = "filter rows";
    input.setAttribute("aria-label", "Filter rows");
    const shown = document.createElement("span");
    shown.className = "quiet";
    input.addEventListener("input", () => {
      const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      let count = 0;
      for (const row of original) {
        const text = [...row.cells].map((cell) => cell.textContent).join("\t").toLowerCase();
        row.hidden = !words.every((word) => text.includes(word));
        count += row.hidden ? 0 : 1;
      }
      shown.textContent = words.length ? `${count} of ${original.length}` : "";
    });
    tools.append(input, shown);
    table.closest(".scroll").before(tools);
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
  function tipped(mark, text) {
    mark.setAttribute("tabindex", "0");
    mark.setAttribute("aria-label", text.replace(/\n/g, ", "));
    mark.setAttribute("role", "img");
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

  function make(name, attributes, parent, text) {
    const item = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) item.setAttribute(key, value);
    if (text !== undefined) item.textContent = text;
    if (parent) parent.append(item);
    return item;
  }

  function scaled(value, digits = 4) {
    for (const [size, unit] of [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]]) {
      if (Math.abs(value) >= size) return `${Number((value / size).toPrecision(digits))} ${unit}`;
    }
    return String(Number(value.toPrecision(digits)));
  }
  const isTime = (label) => /seconds$|\(s\)/.test(label) && !/a second/.test(label);
  // a tick of a time carries its unit, so that the label's would contradict it
  const named = (label) => label.replace(" (s)", "");
  const reader = (label) => isTime(label)
    ? (value) => value >= 1 ? `${Number(value.toPrecision(4))} s` : `${Number((value * 1e3).toPrecision(4))} ms`
    : scaled;
  const exact = (label, value) => isTime(label) ? reader(label)(value)
    : Number.isInteger(value) ? value.toLocaleString("en") : scaled(value);
  const short = (text, limit = 26) => {
    const letters = [...String(text)];
    return letters.length <= limit ? String(text) : `${letters.slice(0, limit - 1).join("")}…`;
  };

  function ticks(low, high, count) {
    const step0 = (high - low) / count || 1;
    const power = 10 ** Math.floor(Math.log10(step0));
    const step = [1, 2, 2.5, 5, 10].map((m) => m * power).find((s) => s >= step0);
    const found = [];
    for (let value = Math.ceil(low / step) * step; value <= high * (1 + 1e-9); value += step) found.push(value);
    return found;
  }
  function decades(low, high) {
    const found = [];
    for (let p = Math.ceil(Math.log10(low)); p <= Math.floor(Math.log10(high)); p += 1) found.push(10 ** p);
    return found;
  }

  function frame(height, alternative) {
    const svg = make("svg", { viewBox: `0 0 480 ${height}`, preserveAspectRatio: "xMidYMid meet" });
    make("title", {}, svg, alternative);
    return svg;
  }

  function legend(holder, names) {
    const box = document.createElement("div");
    box.className = "legend";
    for (const [name, color] of names) {
      const item = document.createElement("span");
      const swatch = document.createElement("i");
      swatch.style.background = color;
      const words = document.createElement("bdi");
      words.textContent = name;
      item.append(swatch, words);
      box.append(item);
    }
    holder.append(box);
  }

  function horizontal(svg, left, right, top, bottom, low, high, read, label) {
    const x = (value) => left + (value - low) / ((high - low) || 1) * (right - left);
    for (const value of ticks(low, high, 5)) {
      make("line", { x1: x(value), x2: x(value), y1: top, y2: bottom, class: "grid" }, svg);
      make("text", { x: x(value), y: bottom + 16, "text-anchor": "middle" }, svg, read(value, 3));
    }
    make("text", { x: (left + right) / 2, y: bottom + 34, "text-anchor": "middle", class: "quiet" }, svg, named(label));
    return x;
  }

  // where a name (its middle and baseline) covers least: above, below, beside, then further off
  function quietPlace(x, y, radius, half, area, taken) {
    const middle = Math.min(Math.max(x, area.left + half), area.right - half);
    const spots = [[middle, y - radius - 4], [middle, y + radius + 13], [x + radius + half + 4, y + 4], [x - radius - half - 4, y + 4]];
    for (let step = 1; step < 7; step += 1) spots.push([middle, y - radius - 4 - 12 * step], [middle, y + radius + 13 + 12 * step]);
    let best = spots[0], least = Infinity;
    for (const [at, line] of spots) {
      const box = { left: at - half, right: at + half, top: line - 10, bottom: line + 2 };
      const out = box.left < area.left || box.right > area.right || box.top < area.top || box.bottom > area.bottom;
      const cost = taken.reduce((sum, held) => sum
        + Math.max(0, Math.min(box.right, held.right) - Math.max(box.left, held.left))
        * Math.max(0, Math.min(box.bottom, held.bottom) - Math.max(box.top, held.top)), out ? 1e4 : 0);
      if (cost < least) { best = [at, line]; least = cost; }
      if (cost === 0) break;
    }
    return best;
  }

  const draw = {
    scatter(plot, holder) {
      const { points, lines = [], front = [] } = plot.data;
      const svg = frame(330, plot.alternative);
      const area = { left: 62, right: 468, top: 14, bottom: 282 };
      const all = [...points.map((p) => [p.x, p.y]), ...lines.flatMap((line) => line.points)];
      for (const p of points) if (p.y_low != null && p.y_high != null) all.push([p.x, p.y_low], [p.x, p.y_high]);
      const axis = (index, log) => {
        const values = all.map((item) => item[index]);
        const low = Math.min(...values), high = Math.max(...values);
        if (index === 1 && plot.data.y_near) {
          const span = Math.max(high - low, .02 * Math.abs(high), 1e-6);
          return [low - .45 * span, high + .55 * span];
        }
        return log ? [low / 1.8, high * 1.8] : [0, (high || 1) * 1.28];
      };
      const [x0, x1] = axis(0, plot.data.x_log), [y0, y1] = axis(1, plot.data.y_log);
      const scale = (log, a, b, from, to) => log
        ? (v) => from + Math.log(v / a) / Math.log(b / a) * (to - from)
        : (v) => from + (v - a) / (b - a) * (to - from);
      const x = scale(plot.data.x_log, x0, x1, area.left, area.right);
      const y = scale(plot.data.y_log, y0, y1, area.bottom, area.top);
      const readX = reader(plot.x_label), readY = reader(plot.y_label);
      for (const v of plot.data.x_log ? decades(x0, x1) : ticks(x0, x1, 5)) {
        make("line", { x1: x(v), x2: x(v), y1: area.top, y2: area.bottom, class: "grid" }, svg);
        make("text", { x: x(v), y: area.bottom + 16, "text-anchor": "middle" }, svg, readX(v, 3));
      }
      for (const v of plot.data.y_log ? decades(y0, y1) : ticks(y0, y1, 5)) {
        make("line", { x1: area.left, x2: area.right, y1: y(v), y2: y(v), class: "grid" }, svg);
        make("text", { x: area.left - 6, y: y(v) + 4, "text-anchor": "end" }, svg, readY(v, 3));
      }
      make("text", { x: 265, y: 320, "text-anchor": "middle", class: "quiet" }, svg, named(plot.x_label));
      make("text", { x: 14, y: 148, transform: "rotate(-90 14 148)", "text-anchor": "middle", class: "quiet" }, svg, named(plot.y_label));
      const path = (list) => list.map(([a, b], i) => `${i ? "L" : "M"}${x(a)} ${y(b)}`).join("");
      if (plot.data.diagonal) {
        const end = Math.min(x1, y1);
        make("path", { d: path([[0, 0], [end, end]]), class: "line", "stroke-dasharray": "2 4" }, svg);
      }
      for (const line of lines) tipped(make("path", { d: path(line.points), class: "line", "stroke-width": 2 }, svg), line.label);
      if (front.length > 1) {
        make("path", { d: path(front.map((i) => [points[i].x, points[i].y])), class: "line", "stroke-dasharray": "6 4" }, svg);
      }
      const largest = Math.max(...points.map((p) => p.size || 0));
      const groups = [...new Set(points.map((p) => p.group).filter((group) => group != null))];
      const many = points.length > 16;
      const colorOf = (p, index) => groups.includes(p.group)
        ? COLORS[groups.indexOf(p.group) % COLORS.length]
        : COLORS[many ? 0 : index % COLORS.length];
      const taken = points.map((p) => ({ left: x(p.x) - 5, right: x(p.x) + 5, top: y(p.y) - 5, bottom: y(p.y) + 5 }));
      const order = points.map((p, i) => [p, i]).sort((a, b) => (b[0].size || 0) - (a[0].size || 0));
      const along = (list) => {
        for (let i = 1; i < list.length; i += 1) {
          const [xa, ya, xb, yb] = [x(list[i - 1][0]), y(list[i - 1][1]), x(list[i][0]), y(list[i][1])];
          for (let t = 0; t <= 1; t += .02) {
            const [at, level] = [xa + (xb - xa) * t, ya + (yb - ya) * t];
            taken.push({ left: at - 1, right: at + 1, top: level - 1, bottom: level + 1 });
          }
        }
      };
      for (const line of lines) along(line.points);
      along(front.map((i) => [points[i].x, points[i].y]));
      for (const [p, index] of order) {
        const color = colorOf(p, index);
        const radius = largest && p.size ? Math.max(4, 20 * Math.sqrt(p.size / largest)) : 5;
        if (p.y_low != null && p.y_high != null) {
          make("line", { x1: x(p.x), x2: x(p.x), y1: y(p.y_low), y2: y(p.y_high), stroke: color, "stroke-width": 2 }, svg);
        }
        let text = `${p.label}\n${exact(plot.x_label, p.x)} ${isTime(plot.x_label) ? "" : plot.x_label}`;
        text += `\n${exact(plot.y_label, p.y)} ${isTime(plot.y_label) ? "" : plot.y_label}`;
        if (p.size) text += `\n${p.size.toLocaleString("en")} ${plot.data.size_label || ""}`;
        tipped(make("circle", { cx: x(p.x), cy: y(p.y), r: radius, fill: color, "fill-opacity": .75 }, svg), text);
        if (many || !p.label) continue;
        const name = short(p.label), half = 3.1 * name.length;
        const [at, line] = quietPlace(x(p.x), y(p.y), radius, half, area, taken);
        taken.push({ left: at - half, right: at + half, top: line - 10, bottom: line + 2 });
        make("text", { x: at, "text-anchor": "middle", y: line, "pointer-events": "none" }, svg, name);
      }
      holder.append(svg);
      const names = groups.map((group) => [group, colorOf({ group }, 0)]);
      for (const line of lines) names.push([`— ${line.label}`, "transparent"]);
      if (front.length > 1) names.push(["- - Pareto front", "transparent"]);
      if (plot.data.diagonal) names.push(["··· as theory says", "transparent"]);
      if (plot.data.size_label) names.push([`area: ${plot.data.size_label}`, "transparent"]);
      legend(holder, names);
    },

    stacked(plot, holder) {
      const bars = plot.data.bars;
      const totals = new Map();
      for (const bar of bars) for (const part of bar.parts) totals.set(part.name, (totals.get(part.name) || 0) + part.value);
      const largest = [...totals].sort((a, b) => b[1] - a[1]).slice(0, COLORS.length).map(([name]) => name);
      const kept = [...totals.keys()].filter((name) => largest.includes(name));
      const colors = new Map(kept.map((name, index) => [name, COLORS[index]]));
      const svg = frame(56 + 40 * bars.length, plot.alternative);
      const bottom = 10 + 40 * bars.length;
      const sums = bars.map((bar) => bar.parts.reduce((sum, part) => sum + part.value, 0));
      const x = horizontal(svg, 128, 462, 4, bottom, 0, Math.max(...sums) * 1.03, reader(plot.x_label), plot.x_label);
      bars.forEach((bar, row) => {
        const top = 10 + 40 * row;
        make("text", { x: 122, y: top + 19, "text-anchor": "end" }, svg, short(bar.label, 18));
        let level = 0;
        for (const part of bar.parts) {
          if (part.value > 0) {
            const mark = make("rect", {
              x: x(level), y: top, width: Math.max(.5, x(level + part.value) - x(level)), height: 28,
              fill: colors.get(part.name) || OTHER, stroke: "var(--paper)",
            }, svg);
            const share = (100 * part.value / sums[row]).toFixed(1);
            tipped(mark, `${bar.label}: ${part.name}\n${part.value.toLocaleString("en")} ${plot.x_label} (${share} %)`);
          }
          level += part.value;
        }
      });
      holder.append(svg);
      const names = [...colors];
      if (totals.size > kept.length) names.push(["other", OTHER]);
      legend(holder, names);
    },

    waterfall(plot, holder) {
      const { start, steps, end } = plot.data;
      const levels = [start.value, end.value];
      let level = start.value;
      for (const step of steps) { level += step.value; levels.push(level); }
      const low = Math.min(...levels), high = Math.max(...levels);
      const span = (high - low) || Math.abs(high) || 1;
      const from = low < 2 * span ? 0 : low - .6 * span;
      const rows = steps.length + 2;
      const svg = frame(56 + 26 * rows, plot.alternative);
      const bottom = 8 + 26 * rows;
      const x = horizontal(svg, 168, 462, 4, bottom, from, high + .1 * span, (value) => scaled(value, Math.max(4, Math.ceil(Math.log10(Math.max(high, 1) / ((high - from) / 5))) + 2)),
        from > 0 ? `${plot.x_label} (the axis begins at ${scaled(from)})` : plot.x_label);
      const bar = (row, a, b, color, label, text) => {
        const top = 8 + 26 * row;
        make("text", { x: 162, y: top + 14, "text-anchor": "end" }, svg, short(label, 25));
        tipped(make("rect", { x: Math.min(x(a), x(b)), y: top, width: Math.max(1, Math.abs(x(b) - x(a))), height: 18, fill: color }, svg), text);
      };
      bar(0, from, start.value, COLORS[0], start.label, `${start.label}\n${start.value.toLocaleString("en")}`);
      level = start.value;
      steps.forEach((step, index) => {
        const sign = step.value < 0 ? "−" : "+";
        bar(index + 1, level, level + step.value, step.value < 0 ? COLORS[2] : COLORS[1], step.label,
          `${step.label}\n${sign}${Math.abs(step.value).toLocaleString("en")}`);
        level += step.value;
      });
      bar(rows - 1, from, end.value, COLORS[4], end.label, `${end.label}\n${end.value.toLocaleString("en")}`);
      holder.append(svg);
    },

    intervals(plot, holder) {
      const rows = plot.data.rows;
      const svg = frame(56 + 32 * rows.length, plot.alternative);
      const high = Math.max(...rows.map((row) => row.high ?? row.value ?? 0)) * 1.06;
      const bottom = 8 + 32 * rows.length;
      const read = reader(plot.x_label);
      const x = horizontal(svg, 128, 462, 4, bottom, 0, high, read, plot.x_label);
      rows.forEach((row, index) => {
        const middle = 24 + 32 * index, color = COLORS[index % COLORS.length];
        make("text", { x: 122, y: middle + 4, "text-anchor": "end" }, svg, short(row.label, 18));
        if (row.value == null) return;
        let text = `${row.label}\n${read(row.value)}`;
        if (row.low != null && row.high != null) {
          make("line", { x1: x(row.low), x2: x(row.high), y1: middle, y2: middle, stroke: color, "stroke-width": 5, "stroke-opacity": .5 }, svg);
          text += `\n95 % interval ${read(row.low)} to ${read(row.high)}`;
        }
        tipped(make("circle", { cx: x(row.value), cy: middle, r: 6, fill: color }, svg), text);
      });
      holder.append(svg);
    },
  };

  const plots = JSON.parse(document.getElementById("plots").textContent);
  for (const figure of document.querySelectorAll("figure[data-plot]")) {
    const plot = plots[figure.dataset.plot];
    draw[plot.kind](plot, figure.querySelector(".plot"));
  }
})();
