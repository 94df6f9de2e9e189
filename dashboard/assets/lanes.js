/* The lanes of versions and of incidents over the heatmap, drawn from data. */
"use strict";
(function () {
  function placed(made, bar) {
    made.style.left = bar.left + "%";
    made.style.width = bar.width + "%";
    return made;
  }
  /* A request for a retraining: a dotted line, as in the charts below. */
  function mark(bar) {
    var made = window.driftline.element("div", "asked-mark");
    made.style.left = bar.left + "%";
    made.title = bar.words;
    made.append(window.driftline.element("span", bar.mark ? "" : "sr", bar.mark || bar.words));
    return made;
  }
  function version(bar) {
    if ("mark" in bar) {
      return mark(bar);
    }
    var made = placed(window.driftline.element("div", bar.on ? "version-bar on" : "version-bar"), bar);
    made.title = bar.words;
    made.append(window.driftline.element("span", "", bar.words));
    return made;
  }
  /* The link says all of it, to eyes what fits in the bar; what does not stands beside it. */
  function incident(bar) {
    var element = window.driftline.element, box = placed(element("div", "bar-box"), bar);
    var link = element("a", "bar " + bar.tone + (bar.open ? " open" : "") + (bar.inside ? "" : " bare"));
    var words = element("span", bar.inside ? "" : "sr", bar.inside || bar.label);
    box.style.top = bar.top + "px";
    box.title = bar.title;
    link.href = bar.href;
    link.dataset.go = "";
    if (bar.inside) {
      words.title = bar.label;
    }
    link.append(words);
    box.append(link);
    if (bar.outside) {
      var outside = element("span", "outside", bar.outside);
      outside.setAttribute("aria-hidden", "true");
      box.append(outside);
    }
    return box;
  }
  window.driftlineLanes = {
    draw: function (data) {
      var found = data || { versions: [], incidents: [], height: 0 };
      window.driftline.draw("model-versions", found.versions, version, null);
      window.driftline.draw("model-lane", found.incidents, incident, null);
      document.getElementById("model-lane").style.height = found.height ? found.height + "px" : "";
      return window.dash_clientside.no_update;
    },
  };
})();
