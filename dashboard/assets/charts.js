/* A chart that fits its place is not drawn again: dcc.Graph has Plotly fit a chart after its first
   drawing and whenever its box changed, though what is drawn knows its height already. */
"use strict";
(function () {
  function fits(chart) {
    var drawn = chart && chart._fullLayout;
    return !!drawn && drawn.width === chart.clientWidth && drawn.height === chart.clientHeight;
  }
  function thrifty(plotly) {
    var resize = plotly.Plots.resize;
    plotly.Plots.resize = function (chart) {
      return fits(chart) ? Promise.resolve() : resize.apply(this, arguments);
    };
    return plotly;
  }
  var plotly = window.Plotly;
  if (plotly) {
    thrifty(plotly);
    return;
  }
  /* It is loaded when the first chart is. */
  Object.defineProperty(window, "Plotly", {
    configurable: true,
    get: function () { return plotly; },
    set: function (loaded) {
      plotly = loaded && loaded.Plots ? thrifty(loaded) : loaded;
    },
  });
})();
