/* A click on the chart of a feature chooses the window; the address says which. */
"use strict";
(function () {
  var known = null;
  function choose(event) {
    var point = event.points && event.points.find(function (each) {
      return Array.isArray(each.customdata) || ArrayBuffer.isView(each.customdata);
    });
    if (point && window.driftline) {
      var iso = new Date(point.customdata[2]).toISOString().replace(".000Z", "Z");
      window.driftline.write({ at: iso });
    }
  }
  /* Plotly makes its element when it first draws; a page that was left and opened has a new one. */
  setInterval(function () {
    var plot = document.querySelector("#feature-series .js-plotly-plot");
    if (plot && plot !== known && plot.on) {
      known = plot;
      plot.on("plotly_click", choose);
    }
  }, 300);
})();
