"use strict";
// Draws the schedules. Their data is the JSON element of the page; nothing is fetched.
(function () {
  const all = JSON.parse(document.getElementById("data").textContent).series;
  const steps = Math.max(0, ...all.map((s) => s.loss.length));
  const plots = {};

  function rows(key) {
    const table = [];
    for (let step = 0; step < steps; ++step) {
      table.push([step].concat(all.map((s) => (step < s[key].length ? s[key][step] : null))));
    }
    return table;
  }

  // Expected rates stand beside the used ones only where the two differ.
  function expected() {
    return all.filter((s) => s.lr_expected.some((v) => v !== null));
  }

  function draw(key) {
    const element = document.getElementById("plot-" + key);
    const extra = key === "lr" ? expected() : [];
    const data = rows(key).map((row) => row.concat(extra.map((s) => s.lr_expected[row[0]])));
    if (!data.some((row) => row.slice(1).some((v) => v !== null))) {
      element.textContent = "Not measured in this sweep.";
      element.style.height = "auto";
      return;
    }
    const labels = ["step"].concat(all.map((s) => s.recipe), extra.map((s) => s.recipe + " expected"));
    const dashed = {};
    extra.forEach((s) => { dashed[s.recipe + " expected"] = { strokePattern: [6, 4], drawPoints: true }; });
    const options = {
      labels: labels, colors: all.concat(extra).map((s) => s.colour), strokeWidth: 1.5, animatedZooms: false,
      connectSeparatedPoints: key === "lost", drawPoints: key === "lost", pointSize: 2,
      stepPlot: key === "scale", series: dashed, legend: "onmouseover", drawCallback: share,
      axes: {
        x: { valueFormatter: (step) => "step " + step },
        y: { axisLabelWidth: 64, valueFormatter: (value) => String(Number(value.toPrecision(6))) },
      },
    };
    plots[key] = new Dygraph(element, data, options);
    if (key === "scale") markSkips(plots[key]);
  }

  function markSkips(plot) {
    const marks = [];
    all.forEach((s) => s.skipped.forEach((step) => marks.push({
      series: s.recipe, x: step, shortText: "▲", text: s.recipe + ": step " + step + " skipped", cssClass: "skip",
    })));
    plot.ready(() => plot.setAnnotations(marks));
  }

  let sharing = false;
  function share(drawn, first) {
    if (first || sharing) return;
    sharing = true;
    const range = drawn.xAxisRange();
    for (const plot of Object.values(plots)) {
      if (plot !== drawn) plot.updateOptions({ dateWindow: range });
    }
    sharing = false;
  }

  // Paper is narrower than most windows, and a canvas drawn anew while printing stays blank.
  const zoom = (factor) => document.querySelectorAll(".plot").forEach((e) => { e.style.zoom = factor(e); });
  window.addEventListener("beforeprint", () => zoom((e) => Math.min(1, 640 / e.clientWidth)));
  window.addEventListener("afterprint", () => zoom(() => ""));

  ["loss", "scale", "lr", "lost"].forEach(draw);
  window.faultline = { plots: plots };
})();
