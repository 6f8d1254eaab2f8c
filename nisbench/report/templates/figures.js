// Figures: show and hide series, show values at the pointer or with the arrow keys, switch the scale, save SVG and PNG.
const REACH = 22;

class Picture {
  constructor(box) {
    this.box = box;
    this.svg = box.querySelector("svg");
    this.name = box.dataset.name;
    this.hidden = new Set();
    this.at = -1;
    this.tip = make("div", { class: "tip", role: "status" });
    this.tip.hidden = true;
    this.tools = make("div", { class: "tools" });
    const named = { "aria-label": "" };
    const other = box.querySelector("template");
    if (other) this.offer(other);
    for (const [text, act] of [["SVG", () => this.saveSvg()], ["PNG", () => this.savePng()]]) {
      named["aria-label"] = `${text}: save the figure ${box.dataset.title}`;
      this.tools.append(button(text, act, named));
    }
    box.append(this.tip, this.tools);
    if (this.series.length) this.listen();
  }

  get series() {
    return data.drawings[this.name] || [];
  }

  get points() {
    return this.series.flatMap((one) => (this.hidden.has(one.group) ? [] : one.points.map((point) => ({ one, point }))));
  }

  // The drawing in the page and the drawing in the template are exchanged.
  offer(template) {
    const scales = { [this.name]: template.dataset.scale === "log" ? "linear" : "log", [template.dataset.name]: template.dataset.scale };
    const drawn = { [this.name]: this.svg, [template.dataset.name]: template.content.querySelector("svg") };
    const [here, there] = Object.keys(drawn);
    const press = button("", () => {
      this.quiet();
      this.name = this.name === here ? there : here;
      this.svg.replaceWith(drawn[this.name]);
      this.svg = drawn[this.name];
      this.show(this.hidden);
      say();
    }, { class: "scale" });
    const say = () => { press.textContent = `${scales[this.name === here ? there : here]} scale`; };
    say();
    this.tools.append(press);
    template.remove();
  }

  show(hidden) {
    this.hidden = hidden;
    this.quiet();
    this.series.forEach((one, k) => {
      const off = hidden.has(one.group);
      for (const part of this.svg.querySelectorAll(`[id^="${this.name}-s${k}-"]`)) {
        if (off) part.setAttribute("display", "none");
        else part.removeAttribute("display");
      }
      for (const part of this.svg.querySelectorAll(`[id^="${this.name}-legend-${k}-"]`)) {
        part.setAttribute("opacity", off ? "0.3" : "1");
      }
    });
  }

  listen() {
    this.box.tabIndex = 0;
    this.box.setAttribute("role", "group");
    this.box.setAttribute("aria-label", `${this.box.dataset.title}: arrow keys tell the values one by one`);
    this.box.addEventListener("pointermove", (event) => this.point(event));
    this.box.addEventListener("pointerdown", (event) => this.point(event));
    this.box.addEventListener("pointerleave", () => this.quiet());
    this.box.addEventListener("blur", () => this.quiet());
    this.box.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (event.target !== this.box) return;
      if (event.key === "Escape") this.quiet();
      const points = this.points;
      if (!step || !points.length) return;
      event.preventDefault();
      const from = this.at < 0 && step < 0 ? 0 : this.at;
      this.tell(points, (from + step + points.length) % points.length);
    });
  }

  point(event) {
    if (!this.svg.contains(event.target)) return;
    const box = this.svg.getBoundingClientRect();
    const scale = this.svg.viewBox.baseVal.width / box.width;
    const [x, y] = [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
    const points = this.points;
    let [nearest, best] = [-1, REACH];
    points.forEach(({ point }, i) => {
      const distance = Math.hypot(point[0] - x, point[1] - y);
      if (distance < best) [nearest, best] = [i, distance];
    });
    if (nearest < 0) this.quiet();
    else if (nearest !== this.at) this.tell(points, nearest);
  }

  tell(points, index) {
    this.quiet();
    this.at = index;
    const { one, point: [x, y, first, second] } = points[index];
    this.tip.replaceChildren(make("strong", {}, one.label), ` at ${first}: ${second}`);
    this.tip.hidden = false;
    const scale = this.svg.getBoundingClientRect().width / this.svg.viewBox.baseVal.width;
    const left = Math.min(x * scale + 8, this.box.clientWidth - this.tip.offsetWidth);
    this.tip.style.left = `${Math.max(0, left)}px`;
    this.tip.style.top = `${Math.max(0, y * scale - this.tip.offsetHeight - 8)}px`;
    const ring = document.createElementNS("http://www.w3.org/2000/svg", "circle");
    for (const [name, value] of Object.entries({ cx: x, cy: y, r: 6, class: "ring" })) ring.setAttribute(name, value);
    this.svg.append(ring);
  }

  quiet() {
    this.at = -1;
    this.tip.hidden = true;
    for (const ring of this.svg.querySelectorAll(".ring")) ring.remove();
  }

  // The drawing as it is shown, in the colours of the printed version.
  get text() {
    this.quiet();
    const text = new XMLSerializer().serializeToString(this.svg);
    return text.replace(/var\(--([\w-]+)\)/g, (whole, name) => data.colours[name] || whole);
  }

  saveSvg() {
    save(`${this.name}.svg`, "image/svg+xml", this.text);
  }

  savePng() {
    const image = new Image();
    const { width, height } = this.svg.viewBox.baseVal;
    image.addEventListener("load", () => {
      const canvas = make("canvas", { width: Math.round(4 * width), height: Math.round(4 * height) });
      canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
      save(`${this.name}.png`, "image/png", canvas.toDataURL("image/png"));
    });
    image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(this.text)}`;
  }
}

for (const figure of document.querySelectorAll("figure")) {
  const pictures = [...figure.querySelectorAll(".picture")].map((box) => new Picture(box));
  const groups = [...new Set(pictures.flatMap((picture) => picture.series.map((one) => one.group)))].filter(Boolean);
  if (groups.length > 1) figure.prepend(toggles(groups, pictures));
}

function toggles(groups, pictures) {
  const hidden = new Set();
  const bar = make("div", { class: "tools toggles", role: "group", "aria-label": "Series shown in these figures" }, "Show");
  for (const group of groups) {
    const press = button(group, () => {
      if (!hidden.delete(group)) hidden.add(group);
      press.setAttribute("aria-pressed", String(!hidden.has(group)));
      for (const picture of pictures) picture.show(hidden);
    }, { "aria-pressed": "true", class: "toggle" });
    bar.append(press);
  }
  return bar;
}
