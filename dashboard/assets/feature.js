/* A feature's windows: a click on the chart chooses one, keys and arrows walk; the address says which. */
"use strict";
(function () {
  var known = null;
  function choose(event) {
    var point = event.points && event.points.find(function (each) {
      return Array.isArray(each.customdata) || ArrayBuffer.isView(each.customdata);
    });
    if (point && window.driftline) {
      ahead = null;
      window.driftline.write({ at: instant(point.customdata[2]) });
    }
  }
  function instant(ms) {
    return new Date(ms).toISOString().replace(".000Z", "Z");
  }
  /* Plotly makes its element when it first draws; a page that was left and opened has a new one. */
  setInterval(function () {
    var plot = document.querySelector("#feature-series .js-plotly-plot");
    if (plot && plot !== known && plot.on) {
      known = plot;
      plot.on("plotly_click", choose);
    }
  }, 300);

  /* Steps add up here: the server is asked for the first one and, when it has answered, for the
     last one. `ahead` is where the keys are, in minutes, while an answer is awaited. */
  var ahead = null, isOwed = false, askedAt = 0;
  var LOST_MS = 3000;
  function strip() {
    return document.querySelector("#feature-part-step [data-starts]");
  }
  function step(by) {
    var shown = strip();
    if (!shown || !window.driftline) {
      return;
    }
    var starts = JSON.parse(shown.dataset.starts), isWaiting = ahead !== null && Date.now() - askedAt < LOST_MS;
    var from = isWaiting ? starts.indexOf(ahead) : Number(shown.dataset.place);
    var to = Math.max(0, Math.min(starts.length - 1, (from < 0 ? Number(shown.dataset.place) : from) + by));
    if (to === from) {
      return;
    }
    ahead = starts[to];
    var at = to === Number(shown.dataset.last) ? "newest" : instant(60000 * ahead);
    if (isWaiting) {
      var url = new URL(window.location.href);
      url.searchParams.set("at", at);
      window.history.replaceState(window.history.state, "", url.pathname + url.search);
      isOwed = true;
    } else {
      isOwed = false;
      askedAt = Date.now();
      window.driftline.write({ at: at });
    }
  }
  document.addEventListener("driftline-filled", function () {
    if (isOwed) {
      isOwed = false;
      askedAt = Date.now();
      window.dispatchEvent(new CustomEvent("_dashprivate_pushstate"));
    } else {
      ahead = null;
    }
  });
  document.addEventListener("click", function (event) {
    var button = event.target instanceof Element && event.target.closest("[data-step]");
    if (button) {
      step(button.dataset.step === "back" ? -1 : 1);
    }
  });
})();
