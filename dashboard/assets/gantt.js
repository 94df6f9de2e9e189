/* Incidents as bars over time: drawn in one go from plain data, as hundreds of components of
   Dash would take a second. Every bar is a link with its words. */
"use strict";
(function () {
  function make(tag, kind, words, style) {
    var node = document.createElement(tag);
    node.className = kind;
    if (words) {
      node.textContent = words;
    }
    Object.assign(node.style, style || {});
    return node;
  }
  function hidden(node) {
    node.setAttribute("aria-hidden", "true");
    return node;
  }
  function link(href, kind, words, style) {
    var node = make("a", kind, words, style);
    node.href = href;
    node.dataset.go = "";
    node.title = words;
    return node;
  }
  function at(span, top) {
    return { left: span[0] + "%", width: span[1] + "%", top: top + "px" };
  }
  /* Its first span is the link; where it came back, the others belong to it. */
  function bar(plot, one) {
    var kind = "gantt-bar " + one.tone;
    var first = link(one.href, kind, "", at(one.spans[0], one.top));
    first.title = one.said;
    first.appendChild(make("span", "sr", one.said));
    plot.appendChild(first);
    one.spans.slice(1).forEach(function (span) {
      plot.appendChild(hidden(make("span", kind, "", at(span, one.top))));
    });
    plot.appendChild(hidden(make("span", "gantt-number num" + (one.is_open ? " on" : ""), one.number,
      { top: one.top + "px", right: (100 - one.spans[0][0]) + "%" })));
  }
  function row(line) {
    var node = make("div", "gantt-row"), name = make("div", "gantt-name");
    var plot = make("div", "gantt-plot", "", { height: line.height + "px" });
    name.appendChild(link(line.href, "", line.model));
    line.bars.forEach(function (one) { bar(plot, one); });
    if (line.more) {
      plot.appendChild(make("span", "left-out", line.more));
    }
    node.append(name, plot);
    return node;
  }
  function axis(ticks) {
    var node = hidden(make("div", "gantt-row")), line = make("div", "gantt-axis");
    ticks.forEach(function (tick) {
      line.appendChild(make("span", "num", tick[1], { left: tick[0] + "%" }));
    });
    node.append(make("div", "gantt-name"), line);
    return node;
  }
  function draw(data) {
    var box = document.getElementById("incidents-chart");
    if (!box) {
      return window.dash_clientside.no_update;
    }
    var focused = box.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
    var nodes = data ? data.rows.map(row).concat([axis(data.ticks)]) : [];
    if (data && data.more) {
      nodes.push(make("p", "more", data.more));
    }
    box.replaceChildren.apply(box, nodes);
    if (focused) {
      var again = Array.prototype.find.call(box.querySelectorAll("a"), function (a) {
        return a.getAttribute("href") === focused;
      });
      if (again) {
        again.focus({ preventScroll: true });
      }
    }
    return window.dash_clientside.no_update;
  }
  window.driftlineGantt = { draw: draw };
})();
