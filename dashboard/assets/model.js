/* The heatmap: a click opens the feature at that window; arrows walk, Enter opens, words are said. */
"use strict";
(function () {
  var place = { row: 0, column: -1 };

  function plot() {
    return document.querySelector("#model-heat .js-plotly-plot");
  }
  function columns() {
    var walk = document.getElementById("model-walk");
    var text = walk && walk.dataset.columns;
    return text ? JSON.parse(text) : null;
  }
  function labels() {
    return document.querySelectorAll("#model-labels .row a.name");
  }
  function open(row, column) {
    var known = columns(), link = labels()[row];
    if (!known || !link || !known.starts[column]) {
      return;
    }
    var url = new URL(link.getAttribute("href"), window.location.href);
    if (known.is_range) {
      url.searchParams.set("from", known.starts[column]);
      url.searchParams.set("to", known.ends[column]);
    } else {
      url.searchParams.set("at", known.starts[column]);
    }
    window.driftline.go(url.pathname + url.search);
  }
  /* Dash leaves out where in the matrix a square is, as that is a list: its place is told by x and y. */
  function click(data) {
    var point = data && data.points && data.points[0], figure = plot();
    if (!point || !figure || !figure._fullLayout) {
      return window.dash_clientside.no_update;
    }
    var axis = figure._fullLayout.xaxis, trace = figure._fullData.find(function (t) { return t.type === "heatmap"; });
    var at = axis.d2p(point.x), nearest = -1, least = Infinity;
    Array.prototype.forEach.call((trace || {}).x || [], function (x, column) {
      var far = Math.abs(axis.d2p(x) - at);
      if (far < least) {
        least = far;
        nearest = column;
      }
    });
    open(Math.round(point.y), nearest);
    return window.dash_clientside.no_update;
  }
  /* What a square says: of the traces that may hold it, the one with a number there. */
  function words(row, column) {
    var figure = plot(), said = "no data";
    (figure && figure._fullData || []).forEach(function (trace) {
      if (trace.type !== "heatmap" || !trace.z[row]) {
        return;
      }
      var z = trace.z[row][column];
      if (z === z && z !== undefined && z !== null) {
        var ratio = trace.customdata && trace.customdata[row] && trace.customdata[row][column];
        said = trace.name + (ratio === ratio && ratio !== undefined ? ", " + ratio.toFixed(2) + " times its limit" : "");
      }
    });
    return said;
  }
  function show() {
    var figure = plot(), known = columns(), cursor = document.getElementById("model-cursor");
    if (!figure || !known || !figure._fullLayout) {
      return;
    }
    var rows = labels().length, count = known.starts.length;
    place.row = Math.max(0, Math.min(rows - 1, place.row));
    place.column = place.column < 0 ? count - 1 : Math.max(0, Math.min(count - 1, place.column));
    var axis = figure._fullLayout.xaxis, trace = figure._fullData.find(function (t) { return t.type === "heatmap"; });
    if (!trace) {
      return;
    }
    var middle = axis.d2p(trace.x[place.column]);
    var width = figure._fullLayout._size.w / count;
    cursor.hidden = false;
    cursor.style.left = middle - width / 2 - 1 + "px";
    cursor.style.width = Math.max(6, width + 2) + "px";
    cursor.style.top = place.row * known.row_px + "px";
    cursor.style.height = known.row_px + 1 + "px";
    window.driftline.say(labels()[place.row].textContent + ", " + known.starts[place.column].slice(0, 16).replace("T", " ") +
      " UTC: " + words(place.row, place.column));
  }
  var STEPS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
  document.addEventListener("keydown", function (event) {
    if (!event.target || event.target.id !== "model-walk" || event.ctrlKey || event.metaKey || event.altKey) {
      return;
    }
    if (STEPS[event.key]) {
      event.preventDefault();
      if (place.column >= 0) {
        place.row += STEPS[event.key][0];
        place.column = Math.max(0, place.column + STEPS[event.key][1]);
      }
      show();
    } else if (event.key === "Home" || event.key === "End") {
      event.preventDefault();
      place.column = event.key === "Home" ? 0 : -1;
      show();
    } else if (event.key === "Enter") {
      event.preventDefault();
      if (place.column >= 0) {
        open(place.row, place.column);
      }
    }
  });
  document.addEventListener("focusin", function (event) {
    if (event.target.id === "model-walk") {
      show();
    }
  });
  document.addEventListener("focusout", function (event) {
    if (event.target.id === "model-walk") {
      document.getElementById("model-cursor").hidden = true;
    }
  });

  /* ---- The rows' names and values. */
  function label(row) {
    var element = window.driftline.element;
    var box = element("div", "row"), link = element("a", "name", row.name);
    if (row.firing) {
      var mark = element("span", "warn-i"), icon = element("span", "i i-triangle-alert");
      icon.style.width = icon.style.height = "13px";
      icon.setAttribute("aria-hidden", "true");
      mark.append(icon, element("span", "sr", "incident: "));
      box.append(mark);
    }
    link.href = row.href;
    link.title = row.title;
    link.dataset.go = "";
    box.append(link);
    return box;
  }
  function value(row) {
    var element = window.driftline.element;
    var box = element("div", "row");
    box.append(
      element("span", "word", row.word),
      element("span", row.near ? "num strong" : "num", row.value),
      element("span", "limit num", row.limit),
      element("span", "ratio num", row.ratio));
    return box;
  }
  function rows(data) {
    var found = Array.isArray(data) ? data : [];
    window.driftline.draw("model-labels", found, label, ["name", "title", "href", "firing"]);
    window.driftline.draw("model-values", found, value, ["name", "word", "value", "near", "limit", "ratio"]);
    return window.dash_clientside.no_update;
  }

  window.driftlineHeat = {
    click: click,
    rows: rows,
    wanted: function () {
      return new URLSearchParams(window.location.search).get("q") || "";
    },
  };
})();
