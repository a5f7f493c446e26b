// Loss curves: one line a term, on a logarithmic scale, with a mark where a knob was turned.

const SVG = "http://www.w3.org/2000/svg";
const COLOURS = ["var(--a)", "var(--b)", "var(--c)", "var(--d)", "var(--e)", "var(--f)", "var(--g)", "var(--h)"];
const [WIDTH, HEIGHT, EDGE] = [600, 160, 8];

export class Curves {
  constructor(figure) {
    this.svg = figure.querySelector("svg");
    this.text = figure.querySelector("figcaption");
    this.empty = this.text.textContent;
    this.clear();
  }

  clear() {
    this.points = [];
    this.marks = [];
    this.svg.replaceChildren();
    this.text.textContent = this.empty;
  }

  cut(step) {
    this.points = this.points.filter((point) => point.step <= step);
    this.marks = this.marks.filter((mark) => mark.step <= step);
  }

  add(step, losses) {
    this.points.push({ step, losses });
    this.later();
  }

  mark(step, values) {
    this.marks.push({ step, text: Object.entries(values).map(([name, value]) => `${name} ${value}`).join(", ") });
    this.later();
  }

  later() {
    if (this.due) return;
    this.due = true;
    requestAnimationFrame(() => { this.due = false; this.draw(); });
  }

  draw() {
    if (!this.points.length) return;
    const names = [...new Set(this.points.flatMap((point) => Object.keys(point.losses)))];
    const values = this.points.flatMap((point) => Object.values(point.losses)).filter((value) => value > 0);
    const [low, high] = [Math.log(Math.min(...values)), Math.log(Math.max(...values))];
    const last = Math.max(2, this.points.at(-1).step);
    const x = (step) => EDGE + ((step - 1) / (last - 1)) * (WIDTH - 2 * EDGE);
    const y = (value) => HEIGHT - EDGE - ((Math.log(value) - low) / (high - low || 1)) * (HEIGHT - 2 * EDGE);
    const drawn = names.map((name, index) => {
      const line = document.createElementNS(SVG, "polyline");
      const places = this.points.filter((point) => point.losses[name] > 0)
        .map((point) => `${x(point.step).toFixed(1)},${y(point.losses[name]).toFixed(1)}`);
      line.setAttribute("points", places.join(" "));
      line.style.stroke = COLOURS[index % COLOURS.length];
      line.dataset.name = name;
      return line;
    });
    for (const mark of this.marks) {
      const line = document.createElementNS(SVG, "line");
      for (const [key, value] of Object.entries({ x1: x(mark.step), x2: x(mark.step), y1: 0, y2: HEIGHT })) line.setAttribute(key, value);
      const title = document.createElementNS(SVG, "title");
      title.textContent = `before step ${mark.step}: ${mark.text}`;
      line.append(title);
      drawn.push(line);
    }
    this.svg.replaceChildren(...drawn);
    this.svg.dataset.marks = this.marks.length;
    this.legend(names);
  }

  legend(names) {
    const now = this.points.at(-1).losses;
    this.text.replaceChildren(...names.flatMap((name, index) => {
      const swatch = document.createElement("b");
      swatch.textContent = "▬ ";
      swatch.style.color = COLOURS[index % COLOURS.length];
      const value = now[name] === null || now[name] === undefined ? "not a number" : now[name].toPrecision(3);
      return [swatch, `${name} ${value}  `];
    }));
    if (this.marks.length) this.text.append(`(turned ${this.marks.length} time${this.marks.length > 1 ? "s" : ""})`);
  }
}
