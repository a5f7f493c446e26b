// Loss curves: one line per term on a logarithmic scale, with a dashed line where a setting was changed.

const SVG = "http://www.w3.org/2000/svg";
const COLORS = ["var(--a)", "var(--b)", "var(--c)", "var(--d)", "var(--e)", "var(--f)", "var(--g)", "var(--h)"];
const [WIDTH, HEIGHT, MARGIN] = [600, 160, 8];

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
    this.scheduleDraw();
  }

  mark(step, values) {
    this.marks.push({ step, text: Object.entries(values).map(([name, value]) => `${name} ${value}`).join(", ") });
    this.scheduleDraw();
  }

  scheduleDraw() {
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
    const x = (step) => MARGIN + ((step - 1) / (last - 1)) * (WIDTH - 2 * MARGIN);
    const y = (value) => HEIGHT - MARGIN - ((Math.log(value) - low) / (high - low || 1)) * (HEIGHT - 2 * MARGIN);
    const drawn = names.map((name, index) => {
      const line = document.createElementNS(SVG, "polyline");
      const points = this.points.filter((point) => point.losses[name] > 0)
        .map((point) => `${x(point.step).toFixed(1)},${y(point.losses[name]).toFixed(1)}`);
      line.setAttribute("points", points.join(" "));
      line.style.stroke = COLORS[index % COLORS.length];
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
      swatch.style.color = COLORS[index % COLORS.length];
      const value = now[name] === null || now[name] === undefined ? "NaN" : now[name].toPrecision(3);
      return [swatch, `${name} ${value}  `];
    }));
    if (this.marks.length) this.text.append(`(changed ${this.marks.length} time${this.marks.length > 1 ? "s" : ""})`);
  }
}
