// Draws the figures of a report as SVG, from the data beside them, without a library. A curve that is hidden
// in one figure, by its entry in a legend or by the selector, is hidden in all figures and tables of the page.
"use strict";
(() => {
  const MARGIN = { left: 62, right: 14, top: 12, bottom: 50 }, HEIGHT = 420, NEAR = 26, DODGE = 5;
  const PRINTED = 24; // entries of a legend on paper, but for the first figure's, which has all
  const SHAPES = {
    circle: "M4,0A4,4 0 1,1 -4,0A4,4 0 1,1 4,0Z", square: "M-3.6,-3.6H3.6V3.6H-3.6Z", diamond: "M0,-5L5,0L0,5L-5,0Z",
    "triangle-up": "M0,-5L4.8,3.6H-4.8Z", "triangle-down": "M0,5L4.8,-3.6H-4.8Z",
    pentagon: "M0,-5L4.8,-1.6L2.9,4H-2.9L-4.8,-1.6Z", "triangle-left": "M-5,0L3.6,-4.8V4.8Z",
    "triangle-right": "M5,0L-3.6,-4.8V4.8Z", "x-thin": "M-4,-4L4,4M4,-4L-4,4",
  };
  const DASHES = { solid: "", dash: "8,5", dot: "2,4", dashdot: "8,4,2,4", longdash: "14,5" };
  const hidden = new Set(), plots = [];
  let seeds = false; // whether each seed has a thin line
  const tip = document.createElement("div");
  tip.className = "tip";

  function element(name, attributes, parent, text) {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (text !== undefined) made.textContent = text;
    parent.append(made);
    return made;
  }

  // The scale of an axis: from a value to a place between 0 and 1, with the places of its ticks and their texts.
  function scale(axis) {
    const [from, to] = axis.range, share = (value) => (value - from) / (to - from);
    if (axis.type === "category") {
      const names = axis.categoryarray;
      return { at: (name) => share(names.indexOf(name)), ticks: names.map((name) => [name, name]), tilted: true };
    }
    if (axis.type !== "log") return { at: share, ticks: even(from, to, axis.nticks || 8).map((y) => [y, written(y, axis)]) };
    const values = axis.tickvals || decades(from, to, axis.dtick === "D2" ? [1, 2, 5] : [1]);
    const texts = axis.ticktext || values.map((value) => `${+value.toPrecision(3)}`);
    return { at: (value) => share(Math.log10(value)), ticks: values.map((value, index) => [value, texts[index]]) };
  }

  function even(from, to, count) {
    const rough = (to - from) / count, power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].find((one) => one * power >= rough) * power, ticks = [];
    for (let n = Math.ceil(from / step - 1e-9); n * step <= to + 1e-9 * step; n++) ticks.push(+(n * step).toPrecision(12));
    return ticks;
  }

  function decades(from, to, digits) {
    const ticks = [];
    for (let power = Math.floor(from); power <= Math.ceil(to); power++)
      for (const digit of digits) if (inside(Math.log10(digit) + power, from, to)) ticks.push(digit * 10 ** power);
    return ticks;
  }

  const inside = (value, from, to) => value >= from - 1e-9 && value <= to + 1e-9;
  const written = (value, axis) => (axis.tickformat === "~s" && value >= 1000 ? `${value / 1000}k` : `${value}`);
  const rounded = (value) => value.toFixed(1);

  class Plot {
    constructor(box) {
      this.box = box;
      this.figure = JSON.parse(box.querySelector("script").textContent);
      const section = box.closest("section");
      this.section = section.dataset.curves || section.id; // what its curves are called after
      for (const trace of this.figure.data) if (trace.legendgroup) trace.legendgroup = `${this.section} ${trace.legendgroup}`;
      this.names = [...new Set(this.figure.data.map((trace) => trace.legendgroup).filter(Boolean))];
      this.controls();
      this.place = box.appendChild(document.createElement("div"));
      this.entries = [];
      this.legend();
      this.box.addEventListener("pointermove", (event) => this.near(event));
      this.box.addEventListener("pointerdown", (event) => this.near(event));
      this.box.addEventListener("pointerleave", () => tip.remove());
      new ResizeObserver(() => this.width !== this.box.clientWidth && this.draw()).observe(box);
    }

    // Buttons for ranges of y, and the slider for levels.
    controls() {
      const { updatemenus = [], sliders = [] } = this.figure.layout, row = document.createElement("div");
      row.className = "controls";
      for (const { buttons } of updatemenus)
        for (const [index, { label, args }] of buttons.entries()) {
          const button = row.appendChild(document.createElement("button"));
          Object.assign(button, { type: "button", textContent: label });
          button.setAttribute("aria-pressed", index === 0);
          button.addEventListener("click", () => {
            this.zoomed = index > 0;
            for (const other of row.querySelectorAll("button")) other.setAttribute("aria-pressed", other === button);
            this.figure.layout.yaxis.range = args[0]["yaxis.range"];
            this.draw();
          });
        }
      for (const { steps, active, currentvalue } of sliders) {
        const label = row.appendChild(document.createElement("label")), text = label.appendChild(document.createElement("span"));
        const input = label.appendChild(document.createElement("input"));
        Object.assign(input, { type: "range", min: 0, max: steps.length - 1, value: active });
        const show = () => {
          const { label: name, args } = steps[+input.value];
          text.textContent = currentvalue.prefix + name;
          for (const [key, values] of Object.entries(args[0]))
            values.forEach((value, index) => (this.figure.data[index][key] = value));
        };
        input.addEventListener("input", () => { show(); this.draw(); });
        show();
      }
      if (row.children.length) this.box.append(row);
    }

    legend() {
      const row = this.box.appendChild(document.createElement("div"));
      row.className = "legend";
      for (const trace of this.figure.data) {
        if (trace.showlegend === false) continue;
        const button = row.appendChild(document.createElement("button"));
        button.type = "button";
        this.entries.push([trace, button]);
        const sample = element("svg", { viewBox: "0 0 34 14", width: 34, height: 14, "aria-hidden": true }, button);
        this.line(trace, "M1,7H33", sample);
        const { marker } = trace; // filled, whatever the first point's verdict is
        if (marker) this.marker({ marker: Array.isArray(marker.color) ? { ...marker, color: trace.line.color } : marker }, 0, 17, 7, sample);
        button.append(trace.name);
        if (row.children.length > PRINTED) { button.classList.add("rest"); row.dataset.rest = row.children.length - PRINTED; }
        if (!trace.legendgroup) { button.disabled = true; continue; }
        button.dataset.curve = trace.legendgroup;
        button.setAttribute("aria-pressed", true);
        button.addEventListener("click", () => {
          hidden.has(trace.legendgroup) ? hidden.delete(trace.legendgroup) : hidden.add(trace.legendgroup);
          refresh();
        });
      }
    }

    line(trace, path, parent) {
      const { color, width, dash = "solid" } = trace.line || {};
      if (color) element("path", { d: path, fill: "none", stroke: color, "stroke-width": width, "stroke-dasharray": DASHES[dash] }, parent);
    }

    marker({ marker }, index, x, y, parent) {
      const fill = Array.isArray(marker.color) ? marker.color[index] : marker.color, edge = marker.line || {};
      element("path", {
        d: SHAPES[marker.symbol], transform: `translate(${rounded(x)},${rounded(y)})`, "stroke-width": edge.width || 0,
        stroke: edge.color || "none", ...(fill === "white" ? { class: "open" } : { fill: fill || "none" }),
      }, parent);
    }

    // The vertical axis, with room for the lines of seeds where these are shown and no part is looked at.
    vertical() {
      const { data, layout: { yaxis } } = this.figure;
      if (!seeds || this.zoomed || yaxis.type) return yaxis;
      const values = data.filter((trace) => !hidden.has(trace.legendgroup)).flatMap((trace) => (trace.seeds || []).flat());
      const own = values.filter((value) => value !== null), [low, high] = yaxis.range;
      return { ...yaxis, range: [Math.min(low, ...own), Math.max(high, ...own)] };
    }

    draw() {
      const { data, layout } = this.figure, width = (this.width = this.box.clientWidth || 720);
      const x = scale(layout.xaxis), y = scale(this.vertical()), bottom = MARGIN.bottom + (x.tilted ? 70 : 0), height = HEIGHT + (x.tilted ? 70 : 0);
      const inner = width - MARGIN.left - MARGIN.right, tall = height - MARGIN.top - bottom;
      const px = (value) => MARGIN.left + x.at(value) * inner, py = (value) => MARGIN.top + (1 - y.at(value)) * tall;
      const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
      svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
      const clip = `clip-${this.box.id}`;
      element("rect", { x: MARGIN.left, y: MARGIN.top, width: inner + MARGIN.right, height: tall + 1 }, element("clipPath", { id: clip }, element("defs", {}, svg)));
      for (const [value, text] of y.ticks) {
        if (!inside(y.at(value), 0, 1)) continue;
        element("path", { d: `M${MARGIN.left},${rounded(py(value))}h${inner}`, class: "grid" }, svg);
        element("text", { x: MARGIN.left - 8, y: py(value) + 4, "text-anchor": "end" }, svg, text);
      }
      let last = -Infinity;
      for (const [value, text] of x.ticks) {
        const at = px(value);
        element("path", { d: `M${rounded(at)},${height - bottom}v5`, class: "axis" }, svg);
        if (x.tilted) element("text", { "text-anchor": "end", transform: `translate(${at + 4},${height - bottom + 16}) rotate(-35)` }, svg, text);
        else if (at - last > 7 * text.length + 6) { element("text", { x: at, y: height - bottom + 20, "text-anchor": "middle" }, svg, text); last = at; }
      }
      element("path", { d: `M${MARGIN.left},${MARGIN.top}v${tall}h${inner}`, class: "axis" }, svg);
      if (layout.xaxis.title) element("text", { x: MARGIN.left + inner / 2, y: height - 8, "text-anchor": "middle" }, svg, layout.xaxis.title.text);
      // A title that is longer than its axis stands in the middle of the figure, in letters that fit.
      const title = layout.yaxis.title.text, size = Math.min(13, (height - 8) / (0.62 * title.length));
      const middle = 0.62 * size * title.length > tall ? height / 2 : MARGIN.top + tall / 2;
      element("text", { transform: `translate(14,${middle}) rotate(-90)`, "text-anchor": "middle", "font-size": size }, svg, title);
      // Curves with intervals stand beside each other, so that those of one level can be told apart; dense, the first, they share.
      const spread = !x.tilted && data.some((trace) => ((trace.error_y || {}).array || []).length);
      const shown = this.names.filter((name) => !hidden.has(name)), step = Math.min(DODGE, inner / 20 / (shown.length || 1));
      this.points = [];
      for (const trace of data) {
        if (hidden.has(trace.legendgroup)) continue;
        const group = element("g", { class: "curve", "data-curve": trace.legendgroup || "" }, svg), inside = element("g", { "clip-path": `url(#${clip})` }, group);
        const beside = trace.legendgroup && spread ? (shown.indexOf(trace.legendgroup) - (shown.length - 1) / 2) * step : 0, dense = layout.xaxis.range[0] > layout.xaxis.range[1] ? x.ticks[0][0] : null;
        const places = trace.x.map((value, index) => (trace.y[index] === null || trace.y[index] === undefined ? null : [px(value) + (value === dense ? 0 : beside), py(trace.y[index])]));
        const joined = (of) => of.map((place, index) => (place ? `${of[index - 1] ? "L" : "M"}${place.map(rounded)}` : "")).join("");
        for (const own of (seeds && trace.seeds) || []) {
          const of = own.map((value, index) => (value === null ? null : [px(trace.x[index]) + (trace.x[index] === dense ? 0 : beside), py(value)]));
          element("path", { d: joined(of), class: "seed", fill: "none", stroke: trace.line.color }, inside);
        }
        const path = joined(places);
        if (trace.mode.includes("lines")) this.line(trace, path, inside);
        places.forEach((place, index) => {
          if (!place) return;
          const half = ((trace.error_y || {}).array || [])[index];
          if (half) {
            const [top, low] = [py(trace.y[index] + half), py(trace.y[index] - half)].map(rounded), at = rounded(place[0]);
            element("path", { d: `M${at},${top}V${low}M${at - 3},${top}h6M${at - 3},${low}h6`, class: "error", stroke: trace.error_y.color, "stroke-width": trace.error_y.thickness, fill: "none" }, inside);
          }
          const visible = place[1] >= MARGIN.top - 1 && place[1] <= height - bottom + 1;
          if (trace.marker && visible) this.marker(trace, index, ...place, trace.showlegend === false ? group : inside);
          if (trace.text && visible) this.points.push([...place, trace.text[index]]);
        });
      }
      this.place.replaceChildren(svg);
      for (const [trace, button] of this.entries) { // only of curves with a point: the slider may take them all
        const curve = data.filter((other) => other === trace || (trace.legendgroup && other.legendgroup === trace.legendgroup));
        button.hidden = !curve.some(({ y }) => y.some((value) => value !== null && value !== undefined));
        if (button.dataset.curve) button.setAttribute("aria-pressed", !hidden.has(button.dataset.curve));
      }
    }

    near(event) {
      const frame = this.place.getBoundingClientRect(), [x, y] = [event.clientX - frame.left, event.clientY - frame.top];
      let best = null, least = NEAR;
      for (const point of this.points || []) {
        const far = Math.hypot(point[0] - x, point[1] - y);
        if (far < least) [best, least] = [point, far];
      }
      if (!best) return tip.remove();
      tip.innerHTML = best[2]; // escaped by the page's maker
      this.box.append(tip);
      tip.style.left = `${Math.max(0, Math.min(best[0] + 12, this.box.clientWidth - tip.offsetWidth))}px`;
      tip.style.top = `${this.place.offsetTop + best[1] + 14}px`;
    }
  }

  function refresh() {
    for (const plot of plots) plot.draw();
    for (const body of document.querySelectorAll("tbody[data-curve]")) body.hidden = hidden.has(body.dataset.curve);
  }

  // The selector: a curve is shown if all its values are checked.
  function selector(box) {
    const curves = JSON.parse(box.querySelector("script").textContent), boxes = [...box.querySelectorAll("input[name]")];
    const each = box.querySelector(".seeds");
    box.hidden = false;
    box.addEventListener("change", () => {
      const off = boxes.filter((one) => !one.checked).map((one) => [one.name, one.value]);
      seeds = Boolean(each && each.checked);
      hidden.clear();
      for (const [name, labels] of curves) if (off.some(([label, value]) => labels[label] === value)) hidden.add(name);
      refresh();
    });
  }

  for (const box of document.querySelectorAll(".selector")) selector(box);
  for (const box of document.querySelectorAll(".plot")) plots.push(new Plot(box));
  refresh();
})();
