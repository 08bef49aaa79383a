// The page of the HTML report. Reads the reports of #data and makes everything below from them. What comes from data
// becomes text by textContent, never markup.
(() => {
'use strict';

const reports = JSON.parse(document.getElementById('data').textContent);
const several = reports.length > 1;
const kDesignNoteR = 0.15;

// ---- numbers in words

const known = (value) => typeof value === 'number' && Number.isFinite(value);
const significant = (value, digits = 3) => {
  if (!known(value)) return '-';
  if (value === 0) return '0';
  const size = Math.abs(value);
  if (size >= 1e15 || size < 1e-6) {
    const [mantissa, exponent] = value.toExponential(digits - 1).split('e');
    return `${mantissa} x 10^${Number(exponent)}`;
  }
  const decimals = Math.max(0, digits - 1 - Math.floor(Math.log10(size)));
  return value.toLocaleString('en', {minimumFractionDigits: decimals, maximumFractionDigits: decimals});
};
const integer = (value) => known(value) ? Math.round(value).toLocaleString('en') : '-';
const scaled = (value, units) => {
  if (!known(value)) return '-';
  const unit = units.find((u) => Math.abs(value) >= u[0]) || units[units.length - 1];
  return `${significant(value / unit[0])} ${unit[1]}`;
};
const seconds = (value) => scaled(value, [[1, 's'], [1e-3, 'ms'], [1e-6, 'µs'], [1e-9, 'ns']]);
const bytes = (value) => scaled(value, [[2 ** 60, 'EiB'], [2 ** 50, 'PiB'], [2 ** 40, 'TiB'], [2 ** 30, 'GiB'], [2 ** 20, 'MiB'], [2 ** 10, 'KiB'], [1, 'B']]);
const percent = (value) => known(value) ? `${significant(100 * value)}%` : '-';
const factor = (value) => known(value) ? `${significant(value)}x` : '-';
const interval = (ci, format = significant) => Array.isArray(ci) ? `${format(ci[0])} to ${format(ci[1])}` : '-';
const estimate = (value, format = significant) =>
    value ? format(value.value) + (value.ci95 ? ` [${format(value.ci95[0])}, ${format(value.ci95[1])}]` : '') : '-';
const text = (value) => {
  if (value === null || value === undefined || value === '') return '-';
  if (typeof value === 'number') return Number.isInteger(value) ? integer(value) : significant(value, 4);
  if (typeof value === 'boolean') return value ? 'yes' : 'no';
  if (Array.isArray(value)) return value.length ? value.map(text).join(', ') : '-';
  if (typeof value === 'object') return 'value' in value ? estimate(value) : JSON.stringify(value);
  return String(value);
};

// ---- elements

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== false && value !== undefined) made.setAttribute(name, value === true ? '' : value);
  }
  for (const child of children) made.append(child);  // strings become text nodes
  return made;
}
const byId = (id) => document.getElementById(id);

/// rows: arrays of what text() takes; numeric columns are those of which no cell is words.
function table(caption, heads, rows) {
  const looksNumeric = (cell) => typeof cell === 'number' || /^[-+]?[\d,.]+(e[-+]?\d+)?\s?(x|%|\/s|s|ms|µs|ns|[KMGT]?i?B| tokens\/s)?( \[.*\])?$/.test(text(cell)) || text(cell) === '-';
  const numeric = heads.map((_, i) => rows.some((row) => text(row[i]) !== '-') && rows.every((row) => looksNumeric(row[i])));
  const head = element('tr');
  heads.forEach((name, i) => head.append(element('th', {scope: 'col', class: numeric[i] ? 'n' : false}, name)));
  const body = element('tbody');
  for (const row of rows) {
    const line = element('tr');
    row.forEach((cell, i) => {
      const words = text(cell);
      line.append(element('td', {class: numeric[i] ? 'n' : words.length > 24 ? 't' : false}, words));
    });
    body.append(line);
  }
  const made = element('table', {}, element('caption', {}, caption), element('thead', {}, head), body);
  return element('div', {class: 'scroll', tabindex: '0', role: 'region', 'aria-label': caption}, made);
}

function download(name, rows) {
  const cell = (value) => {
    if (value === null || value === undefined) return '';
    if (typeof value === 'number') return String(value);
    // A spreadsheet would run what begins like a formula.
    const words = /^[=+\-@\t\r]/.test(value) ? `'${value}` : String(value);
    return /[",\r\n]/.test(words) ? `"${words.replace(/"/g, '""')}"` : words;
  };
  const blob = new Blob([rows.map((row) => row.map(cell).join(',')).join('\n') + '\n'], {type: 'text/csv'});
  const link = element('a', {href: URL.createObjectURL(blob), download: name});
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

// ---- the reports

/// By what tells it from the others; two that are alike in that, by their names too.
reports.forEach((one, i) => {
  const alike = reports.filter((other) => other.title === one.title).length > 1;
  one.label = one.title && one.name && alike ? `${one.title} (${one.name})` : one.title || one.name || (several ? `report ${i + 1}` : '');
  // Two of the same name would be one series.
  if (several && reports.slice(0, i).some((other) => other.label === one.label)) one.label += ` (${i + 1})`;
});
/// Its name too, where it is called by something else.
const fullName = (one) => one.label === one.name || !one.title || !one.name || one.label.includes(one.name) ? one.label : `${one.label} (${one.name})`;
const prefix = (one) => several ? `${one.label}: ` : '';
const shapeLabel = (shape) => shape ? `L=${integer(shape.history_length)}, d=${integer(shape.dim)}, layers=${integer(shape.layers)}` : 'timings without a shape';
const hasFit = (one) => Object.values(one.fits).some((fit) => fit.r);
function largestCase(cases) {
  const size = (one) => one.shape ? one.shape.layers * 1e9 + one.shape.history_length : 0;
  return cases.reduce((best, one) => {
    if (!best || hasFit(one) !== hasFit(best)) return !best || hasFit(one) ? one : best;
    return size(one) >= size(best) ? one : best;
  }, null);
}
let chosenShape = '';
function caseOf(one) {
  const named = one.report.cases.filter((c) => shapeLabel(c.shape) === chosenShape);
  return chosenShape ? named[named.length - 1] || null : largestCase(one.report.cases);
}
/// What of a report is drawn: its case and, of a sizing, whether it is of that case.
const shown = () => reports.map((one) => ({one, case: caseOf(one)}));
const ofCase = (one, row) => {
  const shape = one.case && one.case.shape;
  return !shape || row.history_length === null || (row.history_length === shape.history_length && (row.layers ?? shape.layers) === shape.layers);
};

// ---- colours: readable on light and dark, told apart by most colour-blind eyes; lines differ by dashes too

const kLight = ['#0072b2', '#d55e00', '#00805e', '#b0508a', '#8f6a00', '#3a86c8', '#7a5195', '#5b6670'];
const kDark = ['#5aaef0', '#ff9350', '#45cfa2', '#e79ac9', '#f0c14b', '#9bd4ff', '#bfa0e8', '#aab4be'];
const seen = new Map();
let printing = false;
const isDark = () => !printing && document.documentElement.dataset.theme === 'dark';
function colour(series) {
  if (!seen.has(series)) seen.set(series, seen.size);
  const palette = isDark() ? kDark : kLight;
  return palette[seen.get(series) % palette.length];
}
const faint = (hex) => hex + '2e';
const soft = () => isDark() ? '#a0a9b3' : '#57606a';

// ---- pieces of charts

const errorBars = {
  id: 'errorBars',
  afterDatasetsDraw(chart) {
    const {ctx, scales: {x, y}, chartArea} = chart;
    ctx.save();
    ctx.beginPath();
    ctx.rect(chartArea.left, chartArea.top, chartArea.width, chartArea.height);
    ctx.clip();
    chart.data.datasets.forEach((set, index) => {
      if (!chart.isDatasetVisible(index)) return;
      ctx.strokeStyle = set.borderColor;
      ctx.lineWidth = 1.5;
      for (const point of set.data) {
        if (!known(point.lo) || !known(point.hi)) continue;
        // An end at or below 0 has no place on a logarithmic axis.
        const pixel = (value) => y.type === 'logarithmic' && !(value > 0) ? chartArea.bottom + 10 : y.getPixelForValue(value);
        const at = x.getPixelForValue(point.x), low = pixel(point.lo), high = pixel(point.hi);
        ctx.beginPath();
        ctx.moveTo(at, low);
        ctx.lineTo(at, high);
        for (const end of [low, high]) {
          ctx.moveTo(at - 4, end);
          ctx.lineTo(at + 4, end);
        }
        ctx.stroke();
      }
    });
    ctx.restore();
  },
};

const points = (label, data, hue, more = {}) => ({
  label, data, borderColor: hue, backgroundColor: hue, showLine: false, pointRadius: 4, pointHoverRadius: 6, mark: 'dot', ...more,
});
const line = (label, data, hue, more = {}) => ({
  label, data, borderColor: hue, backgroundColor: hue, showLine: true, pointRadius: 0, pointHitRadius: 6, borderWidth: 2, mark: 'line', ...more,
});
const dashed = {borderDash: [6, 4], mark: 'dash'};
const joined = {showLine: true, borderWidth: 2, mark: 'line'};
function band(label, low, high, hue) {
  const edge = {borderWidth: 0, pointRadius: 0, pointHitRadius: 0, backgroundColor: faint(hue), borderColor: hue, showLine: true, of: label, noLegend: true};
  return [{...edge, label: `${label}, low end`, data: low, fill: false}, {...edge, label: `${label}, high end`, data: high, fill: '-1'}];
}
const ends = (ci) => Array.isArray(ci) ? {lo: ci[0], hi: ci[1]} : {};
function spaced(most) {
  const counts = [];
  const steps = 80;
  for (let i = 0; i <= steps; ++i) counts.push(Math.exp(Math.log(most) * i / steps));
  return counts;
}
const law = (n, r) => n / (1 + (n - 1) * r);
/// The model that describes the speed-ups: everything that is said of them beyond the points is by it. None: undefined.
const modelOf = (fit) => fit.preferred === 'untested' ? fit.models[0] : fit.models.find((one) => one.model === fit.preferred);
/// The ceiling with no more digits than the cost behind it supports, as the conclusion has it (src/report/conclusion.cpp).
function ceilingOf(fit) {
  const limit = fit.asymptote, cost = modelOf(fit)?.marginal_r;
  if (!known(limit)) return '-';
  const wide = cost && cost.ci95 && cost.ci95[1] - cost.ci95[0] > 2 * 0.125 * cost.value;
  if (!wide || limit < 10) return `${limit.toFixed(1)}x`;
  const step = 10 ** (Math.floor(Math.log10(limit)) - 1);
  return `${(step * Math.round(limit / step)).toLocaleString('en')}x`;
}
/// A formula of a model at N: numbers, names, + - * / and brackets. Nothing of a report is run as code.
function modelled(model, n) {
  const names = {N: n, ...Object.fromEntries(model.parameters.map((one) => [one.symbol, one.value]))};
  const tokens = model.formula.match(/[A-Za-z_]\w*|[\d.]+|\S/g);
  let at = 0;
  const factorOf = () => {
    const token = tokens[at++];
    if (token !== '(') return names[token] ?? Number(token);
    const value = sumOf();
    ++at;
    return value;
  };
  const chain = (next, apply) => () => {
    let value = next();
    while (apply[tokens[at]]) value = apply[tokens[at++]](value, next());
    return value;
  };
  const productOf = chain(factorOf, {'*': (a, b) => a * b, '/': (a, b) => a / b});
  const sumOf = chain(productOf, {'+': (a, b) => a + b, '-': (a, b) => a - b});
  return sumOf();
}

/// 1, 2 and 5 of every decade, the 1 alone over many decades.
function logTicks(scale) {
  const low = Math.floor(Math.log10(scale.min)), high = Math.ceil(Math.log10(scale.max));
  const digits = Math.log10(scale.max / scale.min) > 3.3 ? [1] : [1, 2, 5];
  const ticks = [];
  for (let decade = low; decade <= high; ++decade) {
    for (const digit of digits) {
      const value = digit * 10 ** decade;
      if (value >= scale.min * (1 - 1e-9) && value <= scale.max * (1 + 1e-9)) ticks.push({value});
    }
  }
  if (ticks.length > 1) scale.ticks = ticks;
}
const axis = (title, type, format) => ({
  type,
  title: {display: true, text: title, color: soft()},
  grid: {color: (at) => at.tick && at.tick.value === 0 ? soft() : isDark() ? '#2b333c' : '#e3e7eb'},
  afterBuildTicks: type === 'logarithmic' ? logTicks : undefined,
  ticks: {
    color: soft(), maxRotation: 0, autoSkipPadding: 6,
    callback(value) { return type === 'category' ? this.getLabelForValue(value) : format(value); },
  },
});
/// For logarithmic axes, whose ticks are decimal.
const decimalBytes = (value) => {
  const unit = [[1e12, 'TB'], [1e9, 'GB'], [1e6, 'MB'], [1e3, 'kB']].find((u) => value >= u[0] * (1 - 1e-9)) || [1, 'B'];
  return `${plain(value / unit[0])} ${unit[1]}`;
};
const plain = (value) => known(value) ? Number(value.toPrecision(6)).toLocaleString('en', {maximumFractionDigits: 6}) : '';

// ---- the charts: each returns null when there is nothing to draw

/// Ends of a logarithmic axis: every value, and error bars as far as ten times beyond.
function rangeOf(sets) {
  const all = sets.filter((set) => !set.noLegend).flatMap((set) => set.data);
  const low = Math.min(...all.map((point) => point.y)), high = Math.max(...all.map((point) => point.y));
  const least = Math.max(low / 10, Math.min(low, ...all.filter((point) => point.lo > 0).map((point) => point.lo)));
  const most = Math.min(high * 10, Math.max(high, ...all.filter((point) => known(point.hi)).map((point) => point.hi)));
  const nice = (value, round) => {
    const decade = 10 ** Math.floor(Math.log10(value) + 1e-9);
    return decade * (round(value / decade) ?? 10);
  };
  return {
    min: nice(least, (digit) => [5, 2, 1].find((d) => d <= digit * (1 + 1e-9))),
    max: nice(most, (digit) => [1, 2, 5].find((d) => d >= digit * (1 - 1e-9))),
  };
}

function speedupChart() {
  const sets = [];
  let most = 1, any = false;
  const fits = [];
  for (const {one, case: c} of shown()) {
    if (!c) continue;
    const bySchemes = new Map();
    for (const point of c.points) {
      for (const [scheme, row] of Object.entries(point.schemes)) {
        if (!row.speedup || !known(row.speedup.value)) continue;
        if (!bySchemes.has(scheme)) bySchemes.set(scheme, []);
        bySchemes.get(scheme).push({x: point.candidates, y: row.speedup.value, ...ends(row.speedup.ci95)});
        most = Math.max(most, point.candidates);
      }
    }
    for (const [scheme, data] of bySchemes) {
      any = true;
      const name = prefix(one) + scheme;
      sets.push(points(`${name}, measured`, data, colour(name), {order: 0}));
    }
    for (const [scheme, fit] of Object.entries(c.fits)) if (fit.r) fits.push({name: prefix(one) + scheme, fit});
  }
  for (const {one} of shown()) {
    const sizing = one.report.sizing;
    if (any || !sizing || !sizing.points.length) continue;
    const name = `${prefix(one)}${sizing.scheme}, sized`;
    most = Math.max(most, ...sizing.points.map((p) => p.candidates));
    sets.push(line(name, sizing.points.map((p) => ({x: p.candidates, y: p.speedup.value, ...ends(p.speedup.ci95)})), colour(name), {pointRadius: 3}));
  }
  if (!sets.length) return null;
  const counts = spaced(most * 4);
  for (const {name, fit} of fits) {
    // The model in use, as far as it says anything: another one would be another figure for the same thing.
    const hue = colour(name), model = modelOf(fit), known_to = fit.known_to ?? Infinity;
    const curve = (of) => counts.filter((n) => n <= known_to * (1 + 1e-9)).map((n) => ({x: n, y: of(n)}));
    if (!model) continue;
    if (model === fit.models[0]) {
      const r = fit.r, label = `${name}, r = ${significant(r.value)}`;
      if (r.ci95 && fits.length <= 4) sets.push(...band(label, curve((n) => law(n, Math.min(1, r.ci95[1]))), curve((n) => law(n, Math.max(0, r.ci95[0]))), hue));
      sets.push(line(label, curve((n) => law(n, r.value)), hue));
    } else {
      sets.push(line(`${name}, ${model.model} ${model.formula}`, curve((n) => modelled(model, n)), hue));
    }
    const limit = fit.asymptote;
    if (known(limit)) {
      sets.push(line(`${name}, ceiling ${ceilingOf(fit)}`, [{x: 1, y: limit}, {x: counts[counts.length - 1], y: limit}], hue, {borderDash: [2, 4], borderWidth: 1.5, mark: 'dash'}));
    }
  }
  sets.push(line('design note, r = 0.15', counts.map((n) => ({x: n, y: law(n, kDesignNoteR)})), soft(), dashed));
  return {
    id: 'speedup', title: 'Speed-up over naive', wide: true, sets,
    note: 'Points with 95% intervals; lines are the model in use, shaded where its r has an interval. Both axes logarithmic.',
    x: axis('candidates N', 'logarithmic', plain), y: {...axis('speed-up', 'logarithmic', (v) => `${plain(v)}x`), ...rangeOf(sets)},
  };
}

function throughputChart() {
  const sets = [];
  for (const {one, case: c} of shown()) {
    const bySchemes = new Map();
    for (const point of c ? c.points : []) {
      for (const [scheme, row] of Object.entries(point.schemes)) {
        if (!known(row.candidates_per_s)) continue;
        if (!bySchemes.has(scheme)) bySchemes.set(scheme, []);
        bySchemes.get(scheme).push({x: point.candidates, y: row.candidates_per_s});
      }
    }
    for (const [scheme, data] of bySchemes) sets.push(points(prefix(one) + scheme, data, colour(prefix(one) + scheme), joined));
  }
  if (!sets.length) return null;
  return {
    id: 'throughput', title: 'Throughput', sets, note: 'Candidates per second, medians.',
    x: axis('candidates N', 'logarithmic', plain), y: axis('candidates/s', 'logarithmic', plain),
  };
}

function splitChart() {
  const sets = [], counts = new Set(), found = [];
  for (const {one, case: c} of shown()) {
    for (const point of c ? c.points : []) {
      for (const [scheme, row] of Object.entries(point.schemes)) {
        if (!known(row.prefill_s) || !known(row.scoring_s)) continue;
        counts.add(point.candidates);
        found.push({name: prefix(one) + scheme, n: point.candidates, row});
      }
    }
  }
  if (!found.length) return null;
  const labels = [...counts].sort((a, b) => a - b).map((n) => plain(n));
  for (const name of new Set(found.map((f) => f.name))) {
    const mine = found.filter((f) => f.name === name);
    const bars = (part) => mine.map((f) => ({x: plain(f.n), y: 1e3 * f.row[part]}));
    sets.push({label: `${name}, history`, data: bars('prefill_s'), backgroundColor: colour(name), stack: name, mark: 'dot', borderColor: colour(name)});
    sets.push({label: `${name}, candidates`, data: bars('scoring_s'), backgroundColor: colour(name) + '73', stack: name, mark: 'dot', borderColor: colour(name) + '73'});
  }
  return {
    id: 'split', title: 'Where the time of a request goes', type: 'bar', labels, sets,
    note: 'Median time of the prefill and of the pass over the candidates.',
    x: {...axis('candidates N', 'category', plain), stacked: true}, y: {...axis('ms per request', 'linear', plain), stacked: true},
  };
}

const pct = (value) => 100 * value;
function dropChart() {
  const sets = [];
  for (const item of shown()) {
    const {one} = item;
    const rows = one.report.degradation.filter((row) => ofCase(item, row));
    for (const scheme of new Set(rows.map((row) => row.scheme))) {
      const mine = rows.filter((row) => row.scheme === scheme);
      const name = prefix(one) + scheme, hue = colour(name);
      sets.push(points(`${name}, measured`, mine.map((row) => ({x: row.candidates, y: pct(row.drop.value), ...ends(row.drop.ci95 && row.drop.ci95.map(pct))})), hue, joined));
      for (const [key, label, style] of [['drop_exact', 'exact rule', dashed], ['drop_design_note', "design note's rule", {borderDash: [2, 4], mark: 'dash'}]]) {
        const data = mine.filter((row) => known(row[key])).map((row) => ({x: row.candidates, y: pct(row[key])}));
        if (data.length) sets.push(line(`${name}, ${label}`, data, hue, style));
      }
    }
    const sizing = one.report.sizing;
    if (rows.length || !sizing) continue;
    for (const [key, label, style] of [['drop_naive', 'naive', {}], ['drop_exact', `${sizing.scheme}, exact rule`, dashed], ['drop_design_note', `${sizing.scheme}, design note's rule`, {borderDash: [2, 4], mark: 'dash'}]]) {
      const data = sizing.points.filter((p) => known(p[key])).map((p) => ({x: p.candidates, y: pct(p[key])}));
      if (data.length) sets.push(line(prefix(one) + label, data, colour(prefix(one) + (key === 'drop_naive' ? 'naive' : sizing.scheme)), {pointRadius: 3, ...style}));
    }
  }
  if (!sets.length) return null;
  return {
    id: 'drop', title: 'Throughput that the ranker loses, by N', sets,
    note: 'Against the same ranker without the sequence model.',
    x: axis('candidates N', 'logarithmic', plain), y: {...axis('drop, %', 'linear', plain), min: 0},
  };
}

function dropByLengthChart() {
  const sets = [];
  for (const {one} of shown()) {
    const rows = one.report.degradation.filter((row) => known(row.history_length));
    if (new Set(rows.map((row) => row.history_length)).size > 1) {
      const key = (row) => `${row.scheme}, N=${integer(row.candidates)}` + (new Set(rows.map((r) => r.layers)).size > 1 ? `, layers=${row.layers}` : '');
      const most = Math.max(...rows.map((row) => row.candidates));
      for (const name of new Set(rows.filter((row) => row.candidates === most).map(key))) {
        const mine = rows.filter((row) => key(row) === name);
        sets.push(points(`${prefix(one)}${name}, measured`, mine.map((row) => ({x: row.history_length, y: pct(row.drop.value), ...ends(row.drop.ci95 && row.drop.ci95.map(pct))})), colour(prefix(one) + mine[0].scheme + (name.split('layers')[1] || '')), joined));
      }
    }
    const sizing = one.report.sizing;
    const frontier = sizing ? sizing.frontiers.filter((row) => row.axis === 'history_length') : [];
    for (const [key, label, scheme] of [['drop_naive', 'naive', 'naive'], ['drop_shared', `${sizing ? sizing.scheme : ''} at the expected N`, sizing ? sizing.scheme : '']]) {
      const data = frontier.filter((row) => known(row[key])).map((row) => ({x: row.at, y: pct(row[key])}));
      if (data.length) sets.push(line(`${prefix(one)}${label}, sized`, data, colour(prefix(one) + scheme), {pointRadius: 3, ...dashed}));
    }
  }
  if (!sets.length) return null;
  return {
    id: 'drop-length', title: 'Throughput that the ranker loses, by L', sets, note: 'At the largest N measured, or at the expected N of the sizing.',
    x: axis('history length L, tokens', 'logarithmic', plain), y: {...axis('drop, %', 'linear', plain), min: 0},
  };
}

function memoryChart() {
  const sets = [];
  for (const {one, case: c} of shown()) {
    const sizing = one.report.sizing;
    const before = sets.length;
    if (sizing) {
      for (const [key, label, scheme] of [['memory_bytes', sizing.scheme, sizing.scheme], ['copies_memory_bytes', 'a copy per candidate', 'shared-copy'], ['naive_memory_bytes', 'naive', 'naive']]) {
        const data = sizing.points.filter((p) => p[key] > 0).map((p) => ({x: p.candidates, y: p[key]}));
        if (data.length) sets.push(points(prefix(one) + label + ', process', data, colour(prefix(one) + scheme), joined));
      }
    }
    if (sets.length > before) continue;
    const bySchemes = new Map();
    for (const point of c ? c.points : []) {
      for (const [scheme, row] of Object.entries(point.schemes)) {
        if (!(row.kv_bytes > 0)) continue;
        if (!bySchemes.has(scheme)) bySchemes.set(scheme, []);
        bySchemes.get(scheme).push({x: point.candidates, y: row.kv_bytes});
      }
    }
    for (const [scheme, data] of bySchemes) sets.push(points(`${prefix(one)}${scheme}, keys and values`, data, colour(prefix(one) + scheme), joined));
  }
  if (!sets.length) return null;
  return {
    id: 'memory', title: 'Memory', sets, note: 'Process: weights, workers and cached users, computed. Otherwise keys and values alone.',
    x: axis('candidates N', 'logarithmic', plain), y: axis('bytes', 'logarithmic', decimalBytes),
  };
}

function residualChart() {
  const sets = [];
  for (const {one, case: c} of shown()) {
    for (const [scheme, fit] of Object.entries(c ? c.fits : {})) {
      const name = prefix(one) + scheme;
      fit.models.forEach((model, i) => {
        const data = model.residuals.filter((row) => known(row.pct)).map((row) => ({x: row.candidates, y: row.pct}));
        const style = i ? {pointStyle: ['rectRot', 'triangle', 'rect', 'star'][(i - 1) % 4], borderDash: [6, 4], mark: 'dash'} : {};
        if (data.length) sets.push(points(`${name}, ${model.model}`, data, colour(name), {...joined, borderWidth: 1, ...style}));
      });
    }
  }
  if (!sets.length) return null;
  return {
    id: 'residuals', title: 'How far the fits are off', sets, note: 'Fitted over measured speed-up, less 1. Near 0 everywhere: the form holds.',
    x: axis('candidates N', 'logarithmic', plain), y: axis('%', 'linear', plain),
  };
}

// ---- the charts of traffic

const ms = (value) => 1e3 * value;
const withTraffic = () => reports.filter((one) => one.report.traffic).map((one) => ({one, traffic: one.report.traffic}));
const dotted = {borderDash: [2, 4], borderWidth: 1.5, mark: 'dash'};
const crosses = {pointStyle: 'crossRot', pointRadius: 7, pointHoverRadius: 9, borderWidth: 2.5};
/// One value, as a line across the chart.
const upright = (label, x, from, to, hue) => line(label, [{x, y: from}, {x, y: to}], hue, dotted);
const level = (label, y, from, to, hue) => line(label, [{x: from, y}, {x: to, y}], hue, dotted);
/// A colour per series; of several reports a colour each, and series differ by their dashes.
const trafficHue = (one, series) => colour(several ? one.label : series);
const soleHue = (one) => several ? colour(one.label) : soft();
const alarmHue = () => isDark() ? '#ff7b7b' : '#c0262d';
/// The P99 limits asked for, one where all reports have the same.
function limits(all) {
  const asked = all.filter(({traffic}) => known(traffic.p99_limit_s));
  const alike = asked.every(({traffic}) => traffic.p99_limit_s === asked[0].traffic.p99_limit_s);
  return (alike ? asked.slice(0, 1) : asked).map(({one, traffic: {p99_limit_s: limit}}) => ({limit, label: `${alike ? '' : prefix(one)}P99 limit ${seconds(limit)}`}));
}
const xRange = (sets) => {
  const all = sets.flatMap((set) => set.data.map((point) => point.x));
  return [Math.min(...all), Math.max(...all)];
};

/// The tail is what is asked about, so the axis is that of the share that takes longer, and reads as percentiles.
function latencyChart() {
  const sets = [], all = withTraffic();
  for (const {one, traffic} of all) {
    // Nothing takes longer than the last point, which a logarithmic axis has no place for.
    const data = traffic.cdf.filter((point) => point.share < 1 - 1e-12 && point.seconds > 0).map((point) => ({x: ms(point.seconds), y: 100 * (1 - point.share), value: 100 * point.share}));
    if (data.length) sets.push(line(`${prefix(one)}requests`, data, trafficHue(one, 'requests')));
  }
  if (!sets.length) return null;
  const least = 10 ** Math.floor(Math.log10(Math.min(1, ...sets.flatMap((set) => set.data.map((point) => point.y)))) + 1e-9);
  for (const {limit, label} of limits(all)) {
    sets.push(line(label, [{x: ms(limit), y: 100, value: 0}, {x: ms(limit), y: least, value: 100 - least}], alarmHue(), dotted));
  }
  const percentile = (left) => `${plain(100 - left)}%`;
  const [from, to] = xRange(sets);
  const edge = 10 ** Math.floor(Math.log10(from));
  return {
    id: 'latency', title: 'Latency: share of the requests answered within a time', wide: true, sets,
    note: 'From arrival to answer, waiting included. The upper end is stretched to show the tail.' + (all.some(({traffic}) => traffic.saturated) ? ' A saturated fleet has no steady state: the curve is that of the requests replayed.' : ''),
    x: {...axis('ms from arrival to answer', 'logarithmic', plain), min: Math.floor(from / edge + 1e-9) * edge, max: to * 1.05},
    y: {...axis('requests, %', 'logarithmic', percentile), reverse: true, min: least, max: 100, afterBuildTicks: (scale) => {
      scale.ticks = [100, 50, 25, 10, 5, 1, 0.1, 0.01, 0.001, 0.0001].filter((value) => value >= least).map((value) => ({value}));
    }},
  };
}

function hitRateChart() {
  const sets = [], all = withTraffic();
  let most = 0;
  for (const {one, traffic} of all) {
    const rows = traffic.hit_rates;
    for (const [key, label, style] of [['lru', 'LRU', {pointRadius: 3}], ['che', 'LRU by Che', dashed], ['belady', 'Belady', {}], ['bound', 'bound of any policy', dotted]]) {
      const data = rows.filter((row) => known(row[key])).map((row) => ({x: row.cache_bytes, y: pct(row[key])}));
      if (!data.length) continue;
      most = Math.max(most, ...data.map((point) => point.y));
      sets.push(line(prefix(one) + label, data, trafficHue(one, label), style));
    }
  }
  if (!sets.length) return null;
  most = Math.min(100, 10 * Math.ceil(most / 10 + 0.2));
  for (const {one, traffic} of all) {
    const size = traffic.cache.bytes;
    if (size > 0 && traffic.hit_rates.length) sets.push(upright(`${prefix(one)}cache in use, ${bytes(size)}`, size, 0, most, soleHue(one)));
  }
  const [min, max] = xRange(sets);
  return {
    id: 'hit-rate', title: 'Requests that find their user in the cache, by its size', sets,
    note: 'The same requests apart from any queue. Che: as if users came independently. Belady drops who is needed last.',
    x: {...axis('cache, bytes', 'logarithmic', decimalBytes), min, max},
    y: {...axis('requests, %', 'linear', plain), min: 0, max: most},
  };
}

function capacityChart() {
  const sets = [], all = withTraffic().filter(({traffic}) => traffic.capacity.length);
  for (const {one, traffic} of all) {
    const data = traffic.capacity.filter((row) => row.p99_s).map((row) => ({x: row.requests_per_s, y: ms(row.p99_s.value), ...ends(row.p99_s.ci95 && row.p99_s.ci95.map(ms))}));
    if (data.length) sets.push(points(`${prefix(one)}P99`, data, trafficHue(one, 'P99'), joined));
  }
  if (!sets.length) return null;
  const rates = all.flatMap(({traffic}) => traffic.capacity.map((row) => row.requests_per_s));
  for (const {limit, label} of limits(all)) sets.push(level(label, ms(limit), Math.min(...rates), Math.max(...rates), alarmHue()));
  const range = rangeOf(sets);
  for (const {one, traffic} of all) {
    // Above everything that has a P99: they have none.
    const data = traffic.capacity.filter((row) => row.saturated).map((row) => ({x: row.requests_per_s, y: range.max, value: null}));
    if (data.length) sets.push(points(`${prefix(one)}saturated: no steady P99`, data, trafficHue(one, 'P99'), {...crosses, clip: false, mark: 'cross'}));
    sets.push(upright(`${prefix(one)}rate of the report, ${plain(Number(traffic.requests_per_s.toPrecision(4)))}/s`, traffic.requests_per_s, range.min, range.max, soleHue(one)));
  }
  return {
    id: 'capacity', title: 'P99 of the same fleet at other rates', sets, note: 'With 95% intervals. More requests come from more users; the clock is not sped up.',
    x: axis('requests/s', 'linear', plain), y: {...axis('P99, ms', 'logarithmic', plain), ...range},
  };
}

function utilisationChart() {
  const sets = [];
  for (const {one, traffic} of withTraffic()) {
    const at = (rows) => rows.map((row) => ({x: row.requests_per_s, y: pct(row.utilisation)}));
    const hue = trafficHue(one, 'P99');
    if (traffic.capacity.length) sets.push(points(`${prefix(one)}utilisation`, at(traffic.capacity), hue, joined));
    const over = traffic.capacity.filter((row) => row.saturated);
    if (over.length) sets.push(points(`${prefix(one)}saturated`, at(over), hue, {...crosses, mark: 'cross'}));
  }
  if (!sets.length) return null;
  return {
    id: 'utilisation', title: 'Workers that are busy, at other rates', sets, note: 'Share of the time of all workers.',
    x: axis('requests/s', 'linear', plain), y: {...axis('busy, %', 'linear', plain), min: 0, suggestedMax: 100},
  };
}

/// Of the windows; windows of a replay in which the machine was disturbed are marked on the first series.
function overTime(id, title, note, unit, series, more = {}) {
  const sets = [];
  let disturbed = false;
  for (const {one, traffic} of withTraffic()) {
    const rows = traffic.windows;
    if (rows.length < 2) continue;
    for (const [key, label, value, style] of series) {
      const data = rows.filter((row) => known(row[key])).map((row) => ({x: row.start_s, y: value(row[key])}));
      if (!data.length) continue;
      sets.push(line(prefix(one) + label, data, trafficHue(one, label), {pointRadius: rows.length > 60 ? 0 : 2, ...style}));
    }
    const [first, , value] = series[0];
    const marks = rows.filter((row) => !row.clean && known(row[first])).map((row) => ({x: row.start_s, y: value(row[first])}));
    if (marks.length) {
      disturbed = true;
      sets.push(points(`${prefix(one)}machine disturbed`, marks, alarmHue(), {...crosses, mark: 'cross'}));
    }
  }
  if (!sets.length) return null;
  return {
    id, title, sets, note: note + (disturbed ? ' Crossed: something else slowed the machine in that window.' : ''),
    x: {...axis('seconds since the first request', 'linear', plain), min: 0}, y: {...axis(unit, 'linear', plain), min: 0, ...more},
  };
}
const same = (value) => value;
const rateOverTime = () => overTime('rate-time', 'Requests over time', 'A window each; of a simulation those of its first replication.', 'requests/s', [['arrivals_per_s', 'arrive', same, {}], ['completions_per_s', 'answered', same, dashed]]);
const latencyOverTime = () => {
  const spec = overTime('p99-time', 'P99 over time', 'Of the requests answered in a window.', 'P99, ms', [['p99_s', 'P99', ms, {}]]);
  if (spec) {
    const [from, to] = xRange(spec.sets);
    for (const {limit, label} of limits(withTraffic())) spec.sets.push(level(label, ms(limit), from, to, alarmHue()));
  }
  return spec;
};
const queueOverTime = () => overTime('queue-time', 'Queue over time', 'Requests that wait for a worker, on average over a window.', 'requests waiting', [['queue', 'waiting', same, {}]]);
const hitsOverTime = () => withTraffic().some(({traffic}) => traffic.cache.bytes > 0) ? overTime('hits-time', 'Cache hits over time', 'Requests of a window that find their user in the cache.', 'requests, %', [['hit_rate', 'hits', pct, {}]], {suggestedMax: 10}) : null;

const kCharts = [speedupChart, throughputChart, splitChart, dropChart, dropByLengthChart, memoryChart, residualChart,
  latencyChart, hitRateChart, capacityChart, utilisationChart, rateOverTime, latencyOverTime, queueOverTime, hitsOverTime];
let charts = [];

/// What a point says: some charts place it elsewhere, and null is none.
const valueOf = (point) => 'value' in point ? point.value : point.y;

function csvRows(spec) {
  const rows = [['series', spec.x.title.text, spec.y.title.text, 'low', 'high']];
  for (const set of spec.sets) {
    if (set.noLegend) continue;
    for (const point of set.data) rows.push([set.label, typeof point.x === 'string' ? Number(point.x.replace(/,/g, '')) : point.x, valueOf(point), point.lo, point.hi]);
  }
  return rows;
}

function legend(chart, spec) {
  const list = element('ul', {class: 'legend', 'aria-label': `Series of ${spec.title}`});
  chart.data.datasets.forEach((set, index) => {
    if (set.noLegend) return;
    const mark = element('span', {class: set.mark, 'aria-hidden': 'true'});
    mark.style.borderColor = mark.style.color = set.borderColor;
    if (set.mark === 'dot') mark.style.background = set.backgroundColor;
    const button = element('button', {type: 'button', 'aria-pressed': 'true', title: 'Show or hide'}, mark, set.label);
    button.addEventListener('click', () => {
      const visible = !chart.isDatasetVisible(index);
      button.setAttribute('aria-pressed', String(visible));
      chart.setDatasetVisibility(index, visible);
      chart.data.datasets.forEach((other, at) => other.of === set.label && chart.setDatasetVisibility(at, visible));
      chart.update();
    });
    list.append(element('li', {}, button));
  });
  return list;
}

function drawCharts() {
  for (const {chart} of charts) chart.destroy();
  charts = [];
  const place = byId('charts');
  place.replaceChildren();
  for (const make of kCharts) {
    const spec = make();
    if (!spec) continue;
    const canvas = element('canvas', {role: 'img', 'aria-label': `${spec.title}. ${spec.note} The figures are in the table below.`});
    const csv = element('button', {type: 'button', 'aria-label': `Download ${spec.title} as CSV`}, 'CSV');
    csv.addEventListener('click', () => download(`kvcast-${spec.id}.csv`, csvRows(spec)));
    const details = element('details', {}, element('summary', {}, 'Figures'));
    details.addEventListener('toggle', () => {
      if (details.open && details.childElementCount === 1) {
        const [heads, ...rows] = csvRows(spec);
        details.append(table(spec.title, heads, rows.slice(0, 1000)));
      }
    });
    const figure = element('figure', {class: spec.wide ? 'wide' : false, 'data-chart': spec.id},
        element('figcaption', {}, element('h2', {}, spec.title), csv), element('p', {}, spec.note));
    figure.append(element('div', {class: 'plot'}, canvas), details);
    place.append(figure);
    const chart = new Chart(canvas, {
      type: spec.type || 'scatter',
      data: {labels: spec.labels, datasets: spec.sets},
      plugins: [errorBars],
      options: {
        animation: false, responsive: true, maintainAspectRatio: false,
        interaction: {mode: 'nearest', intersect: false},
        scales: {x: spec.x, y: spec.y},
        plugins: {
          legend: {display: false},
          tooltip: {
            filter: (item) => !item.dataset.noLegend,
            callbacks: {
              title: () => '',
              label: (item) => {
                const {x, lo, hi} = item.raw, y = valueOf(item.raw);
                if (y === null) return `${item.dataset.label}, at ${significant(x)}`;
                return `${item.dataset.label}: ${significant(y, 'value' in item.raw ? 5 : 3)}${known(lo) ? ` [${significant(lo)}, ${significant(hi)}]` : ''} at ${typeof x === 'string' ? x : significant(x)}`;
              },
            },
          },
        },
      },
    });
    figure.querySelector('.plot').before(legend(chart, spec));
    charts.push({id: spec.id, chart, spec});
  }
}

// ---- what if: the formulas of src/analysis/queueing.cpp and sizing.cpp, on the numbers of sizing.models

const kMost = 1e9, kTail = 0.99, kRounding = 1e-12, kMaxUtilisation = 0.9;

function erlangC(workers, load) {
  let blocked = 1;
  for (let k = 1; k <= workers; ++k) blocked = load * blocked / (k + load * blocked);
  return blocked / (1 - load / workers * (1 - blocked));
}
function waitOf(rate, workers, mean, cv2) {
  if (!rate) return {probability: 0, mean: 0};
  const load = rate * mean;
  if (!(load < workers)) return null;
  return {probability: erlangC(workers, load), mean: (1 + cv2) / 2 * mean / (workers - load)};
}
function exceedance(wait, mean, shape, t) {
  let sum = 0;
  for (const value of shape) {
    const left = t - mean * value;
    if (left < 0) sum += 1;
    else if (wait.probability > 0 && wait.mean > 0) sum += wait.probability * Math.exp(-left / wait.mean);
  }
  return sum / shape.length;
}
function quantile(wait, mean, shape, probability) {
  const leftOver = 1 - probability + kRounding;
  const rank = Math.ceil(probability * shape.length - kRounding * shape.length);
  let low = mean * shape[Math.max(rank, 1) - 1];
  if (exceedance(wait, mean, shape, low) <= leftOver) return low;
  let high = 2 * low + wait.mean;
  while (exceedance(wait, mean, shape, high) > leftOver) high *= 2;
  while (high - low > 1e-9 * high) {
    const middle = low + (high - low) / 2;
    if (exceedance(wait, mean, shape, middle) > leftOver) low = middle;
    else high = middle;
  }
  return high;
}
/// The end of the true part of [from, to], from - 1 without one, for what once false stays false.
function last(from, to, holds) {
  if (!holds(from)) return from - 1;
  let good = from, step = 1;
  while (good < to) {
    const next = Math.min(to, good + step);
    if (!holds(next)) {
      let bad = next;
      while (bad - good > 1) {
        const middle = good + Math.floor((bad - good) / 2);
        if (holds(middle)) good = middle;
        else bad = middle;
      }
      return good;
    }
    good = next;
    step *= 2;
  }
  return good;
}
/// The largest N up to `most` for which `holds`, which may hold again behind a measured N; 0: none.
function largest(measured, most, holds) {
  const stretches = [];
  let from = 1;
  for (const n of measured.filter((count) => count <= most)) {
    if (from < n) stretches.unshift([from, n - 1]);
    stretches.unshift([n, n]);
    from = n + 1;
  }
  if (from <= most) stretches.unshift([from, most]);
  for (const [low, high] of stretches) {
    const found = last(low, high, holds);
    if (found >= low) return found;
  }
  return 0;
}
/// A function of N through what was measured, beyond it the line, scaled to meet the outermost; the line where nothing was.
const through = (at, values, straight, line) => (n) => {
  if (!at.length) return line(n);
  const i = at.findIndex((count) => count >= n);
  if (at[i] === n) return values[i];
  if (i <= 0) {
    const edge = i < 0 ? at.length - 1 : 0, base = line(at[edge]);
    return base > 0 ? values[edge] * line(n) / base : values[edge];
  }
  const part = (of) => (of(n) - of(at[i - 1])) / (of(at[i]) - of(at[i - 1]));
  return straight ? values[i - 1] + (values[i] - values[i - 1]) * part((value) => value) : values[i - 1] * (values[i] / values[i - 1]) ** part(Math.log);
};

/// The budgets of the sizing, by their names there. key: of the limit in what is asked; told: whether the model tells what N
/// candidates take of it; meets: whether that is within the limit. Their fields are in rebuild().
const kBudgets = [
  {name: 'p99', words: 'P99 latency', key: 'p99_s', told: () => true, meets: (problem, limit, n, conservative) => problem.late(limit, n, conservative) <= 1 - kTail + kRounding},
  {name: 'memory', words: 'memory', key: 'memory_bytes', told: (problem) => problem.hasMemory, meets: (problem, limit, n) => problem.bytesOf(n) <= limit},
  {name: 'qps', words: 'requests per second', key: 'requests_per_s', told: () => true, meets: (problem, limit, n, conservative) => problem.servedOf(n, conservative) >= limit},
];

/// The problem of a model under what is asked: {the keys of kBudgets, workers, users_cached, r_factor}.
function problemOf(sizing, model, asked) {
  const raw = [model.residuals, sizing.residuals, [1]].find((list) => list && list.length);
  let total = 0;
  for (const value of raw) total += value;
  const meanResidual = total / raw.length;
  const shape = raw.map((value) => value / meanResidual);
  let squares = 0;
  for (const value of shape) squares += (value - 1) * (value - 1);
  const cv2 = squares / shape.length;
  const {half_candidates: halfAt, half, worker_candidates: at, worker_bytes: worker} = model;
  const slow = (n) => {
    const found = halfAt.findIndex((count) => count >= n);
    return Math.exp(found < 0 ? half[half.length - 1] : half[found]);
  };
  const measured = model.measured_candidates ?? [];
  const lineOf = (n) => model.prefill_s + model.candidate_s * n + (known(model.block_s) ? model.block_s * Math.ceil(n / model.block_candidates) : 0);
  const whole = through(measured, model.measured_s, model.straight, lineOf);
  const candidatesOf = (n) => Math.max(0, whole(n) - model.prefill_s);
  // N over the speed-up, in naive candidates.
  const perSpeedup = known(model.speedup_user) && through(measured, measured.map((n, i) => n / model.measured_speedup[i]), model.speedup_straight, (n) => model.speedup_user + model.speedup_candidate * n);
  const secondsOf = (n, conservative) =>
      (model.prefill_s + asked.r_factor * candidatesOf(n)) * meanResidual * (conservative ? slow(n) : 1);
  const workerBytes = (n) => {
    if (at.length === 1) return worker[0];
    let i = at.findIndex((count) => count >= n);
    i = i < 0 ? at.length - 1 : Math.max(1, i);
    return worker[i - 1] + (worker[i] - worker[i - 1]) * (n - at[i - 1]) / (at[i] - at[i - 1]);
  };
  const bytesOf = (n) => model.weights_bytes + asked.workers * workerBytes(n) + asked.users_cached * model.user_kv_bytes;
  const wait = (mean) => waitOf(asked.requests_per_s, asked.workers, mean, cv2);
  const problem = {
    measured, most: sizing.known_to ?? kMost, hasInterval: half.length > 0, secondsOf, hasMemory: at.length > 0, bytesOf,
    /// Requests per second that leave the workers a tenth of their time.
    servedOf: (n, conservative) => kMaxUtilisation * asked.workers / secondsOf(n, conservative),
    /// Share of the requests that take longer than `limit`.
    late: (limit, n, conservative) => {
      const mean = secondsOf(n, conservative), queue = wait(mean);
      return queue === null ? 1 : exceedance(queue, mean, shape, limit);
    },
    p99: (n, conservative) => {
      const mean = secondsOf(n, conservative), queue = wait(mean);
      return queue === null ? Infinity : quantile(queue, mean, shape, kTail);
    },
    utilisation: (n) => (asked.requests_per_s || 0) * secondsOf(n, false) / asked.workers,
    speedup: (n) => {
      const after = model.prefill_s + asked.r_factor * candidatesOf(n);
      if (!perSpeedup) return model.naive_candidate_s * n / after;
      return n / perSpeedup(n) * (model.prefill_s + candidatesOf(n)) / after;
    },
  };
  problem.stated = kBudgets.filter(({key, told}) => known(asked[key]) && told(problem))
      .map(({words, key, meets}) => ({words, meets: (n, conservative) => meets(problem, asked[key], n, conservative)}));
  return problem;
}
function solve(problem) {
  const {measured, most} = problem;
  const solution = {expected: most, conservative: problem.hasInterval ? most : null, binding: '', budgets: []};
  for (const {words, meets} of problem.stated) {
    const expected = largest(measured, most, (n) => meets(n, false));
    const conservative = problem.hasInterval ? largest(measured, most, (n) => meets(n, true)) : null;
    solution.budgets.push({words, expected, conservative});
    if (expected < solution.expected) {
      solution.expected = expected;
      solution.binding = words;
    }
    if (conservative !== null) solution.conservative = Math.min(solution.conservative, conservative);
  }
  return solution;
}

/// most: up to which anything is known.
const countText = (n, most = kMost) => n === null ? 'unknown' : n >= kMost ? 'no limit' : n >= most ? `at least ${integer(n)}` : integer(n);
let whatIf = null;

function makeWhatIf() {
  const place = byId('what-if');
  place.className = 'panel';
  const sized = reports.filter((one) => one.report.sizing && one.report.sizing.models.length);
  // Traffic alone has no pass that could be sized.
  if (!reports.some((one) => one.report.sizing || one.report.cases.length)) {
    place.hidden = true;
    return;
  }
  const title = element('h2', {id: 'what-if-title'}, 'What if: how many candidates?');
  if (!sized.length) {
    const any = reports.some((one) => one.report.sizing);
    place.append(title, element('p', {class: 'soft'}, any
        ? 'The time of this scheme at this shape is no line in N, so this page cannot compute it again.'
        : 'This report has no sizing. With one, latency, memory, load and r can be moved here and N follows:'));
    if (!any) place.append(element('p', {}, element('code', {}, 'kvcast size DIR --p99 50ms -o sized')));
    return;
  }
  const result = element('div', {'aria-live': 'polite', id: 'what-if-answer'});
  const fields = element('form', {class: 'fields', 'aria-label': 'What if'});
  fields.addEventListener('submit', (event) => event.preventDefault());
  place.append(title, element('p', {class: 'soft'}, 'The formulas of kvcast size, computed here. An empty field is no limit. Starts at the budgets of the sizing.'),
      element('div', {class: 'what-if'}, fields, result));
  const state = {};

  function start(one) {
    const sizing = one.report.sizing;
    const limit = (name) => (sizing.budgets.find((row) => row.name === name) || {}).limit ?? null;
    const input = (name, otherwise) => (sizing.inputs.find((row) => row.name === name) || {}).value ?? otherwise;
    const own = sizing.models.findIndex((model) => model.history_length === sizing.history_length);
    Object.assign(state, {
      one, sizing, model: Math.max(0, own), workers: input('workers', 1), users_cached: input('users_cached', 0), r_factor: 1,
    });
    for (const {name, key} of kBudgets) state[key] = limit(name);
  }
  const r0 = () => {
    const model = state.sizing.models[state.model];
    const candidate = model.candidate_s + (known(model.block_s) ? model.block_s / model.block_candidates : 0);
    return model.speedup_candidate ?? candidate / model.naive_candidate_s;
  };

  /// Its name, which is that of the same figure elsewhere on the page.
  const rName = () => {
    if (!known(state.sizing.models[state.model].speedup_candidate)) return "One more candidate over naive's";
    const c = state.one.report.cases.find((one) => ofCase({case: one}, state.sizing));
    const fit = c && c.fits[state.sizing.scheme];
    return fit && modelOf(fit) && modelOf(fit) !== fit.models[0] ? 'Marginal r, cost of one more candidate' : 'r, cost of one more candidate';
  };

  function number(id, label, value, attributes, changed) {
    const made = element('input', {type: 'number', id, step: 'any', inputmode: 'decimal', ...attributes});
    made.value = known(value) ? String(Number(value.toPrecision(6))) : '';
    made.addEventListener('input', () => {
      if (!made.validity.valid) return;
      changed(made.value === '' ? null : Number(made.value));
    });
    return {box: element('div', {class: 'field'}, element('label', {for: id}, label), made), input: made};
  }
  /// A number with a slider, logarithmic between low and high.
  function slided(id, label, unit, value, low, high, changed) {
    const field = number(id, `${label}${unit ? `, ${unit}` : ''}`, value, {min: '0'}, (to) => {
      if (to !== null) slider.value = String(Math.log(Math.max(to, 1e-12)));
      if (to === null || to > 0) changed(to);
    });
    const slider = element('input', {type: 'range', id: `${id}-slider`, 'aria-label': `${label}, slider`,
      min: String(Math.log(low)), max: String(Math.log(high)), step: String(Math.log(high / low) / 400)});
    slider.value = String(Math.log(known(value) && value > 0 ? value : Math.sqrt(low * high)));
    const say = (to) => slider.setAttribute('aria-valuetext', `${significant(to)} ${unit}`);
    say(Math.exp(Number(slider.value)));
    slider.addEventListener('input', () => {
      const to = Number(Math.exp(Number(slider.value)).toPrecision(3));
      field.input.value = String(to);
      say(to);
      changed(to);
    });
    field.box.append(slider);
    return field.box;
  }

  function show() {
    const {sizing} = state;
    const model = sizing.models[state.model];
    const problem = problemOf(sizing, model, state);
    const solution = solve(problem);
    state.solution = solution;
    const {expected} = solution;
    result.replaceChildren();
    const {most} = problem;
    const n = element('strong', {id: 'expected'}, countText(expected, most));
    const conservative = element('b', {id: 'conservative'}, countText(solution.conservative, most));
    result.append(element('p', {class: 'answer'}, 'Largest N: ', n, ' expected, ', conservative, ' conservative'));
    const words = !problem.stated.length ? 'No budget is stated.'
        : expected === 0 ? `Not one candidate fits: ${solution.binding} is too tight.`
        : expected >= kMost ? 'No budget limits N.' : expected >= most ? `No budget limits N up to ${integer(most)}; nothing is known beyond.` : `Limited by ${solution.binding}.`;
    result.append(element('p', {}, words));
    if (known(sizing.min_improvement) && expected >= 1) {
      const gained = 1 - 1 / problem.speedup(expected);
      if (gained < sizing.min_improvement) result.append(element('p', {}, `It saves ${percent(gained)}, less than the ${percent(sizing.min_improvement)} that were asked for.`));
    }
    if (expected >= 1 && expected < kMost) {
      const rows = [['speed-up over naive', factor(problem.speedup(expected))]];
      if (state.timed) {
        rows.push(['mean service time', seconds(problem.secondsOf(expected, false))], ['P99', Number.isFinite(problem.p99(expected, false)) ? seconds(problem.p99(expected, false)) : 'no steady state']);
        if (state.requests_per_s) rows.push(['utilisation', percent(problem.utilisation(expected))]);
      }
      if (problem.hasMemory) rows.push(['memory', bytes(problem.bytesOf(expected))]);
      result.append(table('At the expected N', ['quantity', 'value'], rows));
    }
    if (solution.budgets.length > 1) {
      result.append(table('Each budget alone', ['budget', 'expected N', 'conservative N'], solution.budgets.map((row) => [row.words, countText(row.expected, most), countText(row.conservative, most)])));
    }
    const was = sizing.expected_candidates;
    result.append(element('p', {class: 'soft'}, `As sized: N = ${countText(was ?? kMost, most)}` + (sizing.conservative_candidates === null ? '' : ` (conservative ${countText(sizing.conservative_candidates, most)})`) + '. ' + (model.source === 'fitted' || state.r_factor !== 1 ? '' : `Times at this L are ${model.source}.`)));
  }

  function rebuild() {
    const {sizing} = state;
    const model = sizing.models[state.model];
    state.timed = sizing.points.some((p) => known(p.scheme_s));
    const around = (value, otherwise, span) => {
      const centre = known(value) && value > 0 ? value : otherwise;
      return [centre / span, centre * span];
    };
    fields.replaceChildren();
    if (sized.length > 1) {
      const select = element('select', {id: 'wi-report'});
      sized.forEach((one, i) => select.append(element('option', {value: String(i)}, one.label)));
      select.value = String(sized.indexOf(state.one));
      select.addEventListener('change', () => { start(sized[Number(select.value)]); rebuild(); byId('wi-report').focus(); });
      fields.append(element('div', {class: 'field'}, element('label', {for: 'wi-report'}, 'Report'), select));
    }
    if (sizing.models.length > 1) {
      const select = element('select', {id: 'wi-length'});
      sizing.models.forEach((m, i) => select.append(element('option', {value: String(i)}, `${integer(m.history_length)} (${m.source})`)));
      select.value = String(state.model);
      select.addEventListener('change', () => { state.model = Number(select.value); state.r_factor = 1; rebuild(); byId('wi-length').focus(); });
      fields.append(element('div', {class: 'field'}, element('label', {for: 'wi-length'}, 'History length L'), select));
    }
    const set = (key, scale = 1) => (to) => { state[key] = to === null ? null : to * scale; show(); };
    if (state.timed) {
      const typical = 1e3 * (model.prefill_s + model.candidate_s * 50);
      fields.append(slided('wi-p99', 'P99 latency', 'ms', known(state.p99_s) ? state.p99_s * 1e3 : null, ...around(state.p99_s * 1e3, typical, 30), set('p99_s', 1e-3)));
    }
    if (model.worker_candidates.length) {
      const mib = 2 ** 20;
      const typical = (model.weights_bytes + 4 * model.worker_bytes[model.worker_bytes.length - 1]) / mib;
      fields.append(slided('wi-memory', 'Memory', 'MiB', known(state.memory_bytes) ? state.memory_bytes / mib : null, ...around(state.memory_bytes / mib, typical, 30), set('memory_bytes', mib)));
    }
    const r = r0();
    if (r > 0 && Number.isFinite(r)) {
      fields.append(slided('wi-r', rName(), '', r * state.r_factor, r / 20, Math.max(r, Math.min(1, r * 20)), (to) => {
        if (to === null) return;
        state.r_factor = Math.abs(to / r - 1) < 1e-5 ? 1 : to / r;
        show();
      }));
    }
    if (state.timed) {
      fields.append(number('wi-rate', 'Requests per second', state.requests_per_s, {min: '0'}, (to) => { state.requests_per_s = to > 0 ? to : null; show(); }).box);
    }
    fields.append(number('wi-workers', 'Workers', state.workers, {min: '1', max: '100000', step: '1'}, (to) => { state.workers = to ?? 1; show(); }).box);
    if (model.worker_candidates.length) {
      fields.append(number('wi-users', 'Cached users', state.users_cached, {min: '0', step: '1'}, (to) => { state.users_cached = to ?? 0; show(); }).box);
    }
    const reset = element('button', {type: 'button', id: 'wi-reset'}, 'As sized');
    reset.addEventListener('click', () => { start(state.one); rebuild(); byId('wi-reset').focus(); });
    fields.append(element('div', {class: 'buttons'}, reset));
    show();
  }
  start(sized[0]);
  rebuild();
  whatIf = state;
}

// ---- words and tables

const trafficAnswer = (traffic) => `${traffic.answer[0].toUpperCase()}${traffic.answer.slice(1)}.`;
const trafficSubject = (traffic) => `${integer(traffic.requests)} requests of ${integer(traffic.users)} users in ${seconds(traffic.duration_s)}, ${traffic.workload}`;

function makeTop() {
  const conclusions = byId('conclusions'), warnings = byId('warnings');
  for (const one of reports) {
    if (one.compared) conclusions.append(element('p', {class: 'conclusion', 'data-compared': true}, `${one.compared}.`));
  }
  for (const one of reports) {
    const {sizing, traffic} = one.report;
    const sentences = [one.conclusion || (sizing ? sizing.answer : ''), traffic ? trafficAnswer(traffic) : ''].filter(Boolean);
    if (!sentences.length) sentences.push('No fit: too little was measured for a conclusion.');
    for (const sentence of sentences) {
      const line = element('p', {class: 'conclusion'}, sentence);
      if (several) line.append(element('small', {}, fullName(one)));
      conclusions.append(line);
    }
    for (const caveat of sizing ? sizing.caveats : []) {
      conclusions.append(element('p', {class: 'warning'}, `${prefix(one)}${caveat}.`));
    }
    for (const how of traffic ? traffic.reading : []) warnings.append(element('p', {class: 'warning'}, element('b', {}, `${prefix(one)}log`), `: ${how}`));
    for (const warning of one.report.warnings) {
      warnings.append(element('p', {class: 'warning'}, element('b', {}, prefix(one) + warning.code), `: ${warning.text}`, warning.advice ? ` — ${warning.advice}` : ''));
    }
  }
  const machine = reports[0].report.machine;
  byId('subtitle').textContent = several ? reports.map((one) => one.label).join(' and ') : machine ? `${machine.cpu_model}, ${machine.isa}` : reports[0].report.cases.length ? 'timings from elsewhere' : reports[0].report.traffic ? trafficSubject(reports[0].report.traffic) : 'from r alone';
  const tool = reports[0].report.tool;
  byId('made-by').textContent = `kvcast ${tool.version}, commit ${tool.git_commit}, ${tool.compiler}, ${tool.build_type}`;
  document.title = several ? `kvcast: ${reports.map((one) => one.label).join(', ')}` : 'kvcast report';
}

/// Objects as rows: a column per key that any of them has something in.
function objectsTable(caption, rows) {
  const cell = (key, value) => key === 'expected_candidates' && value === null ? 'no limit' : !known(value) ? value : key.endsWith('_s') ? seconds(value) : key.endsWith('_bytes') ? bytes(value) : value;
  const keys = Object.keys(rows[0]).filter((key) => rows.some((row) => text(cell(key, row[key])) !== '-'));
  return table(caption, keys.map((key) => key.replace(/_/g, ' ')), rows.map((row) => keys.map((key) => cell(key, row[key]))));
}
function flat(value, path = '') {
  if (value !== null && typeof value === 'object' && !Array.isArray(value)) {
    return Object.entries(value).flatMap(([key, inner]) => flat(inner, path ? `${path}.${key}` : key));
  }
  return [[path, value]];
}
const listOf = (items) => {
  const list = element('ul');
  for (const item of items) list.append(element('li', {}, item));
  return list;
};
function section(title, open, ...children) {
  const kept = children.filter(Boolean);
  return kept.length ? element('details', {open}, element('summary', {}, title), ...kept) : '';
}

function caseTables(c) {
  const rows = [];
  for (const point of c.points) {
    for (const [scheme, row] of Object.entries(point.schemes)) {
      rows.push([point.candidates, scheme, row.reason ? `skipped: ${row.reason}` : row.status, row.seconds ? seconds(row.seconds.median) + (row.seconds.ci95 ? ` [${row.seconds.ci95.map(seconds).join(', ')}]` : '') : '-',
        significant(row.candidates_per_s), estimate(row.speedup, factor), percent(row.improvement), row.kv_bytes > 0 ? bytes(row.kv_bytes) : '-', known(row.time_over_minimum) ? factor(row.time_over_minimum) : '-']);
    }
  }
  const parts = [];
  if (rows.length) parts.push(table('Points: medians with 95% intervals', ['N', 'scheme', 'status', 'time of a request', 'candidates/s', 'speed-up', 'time saved', 'keys and values', 'time over minimum'], rows));
  const share = (value) => known(value) ? `${significant(value)}%` : '-';
  const parameter = (one) => `${one.symbol} ${one.unit === 's' ? seconds(one.value) : significant(one.value)}`;
  const fits = Object.entries(c.fits).map(([scheme, fit]) => [scheme, estimate(fit.r), significant(fit.r_flops), ceilingOf(fit), integer(fit.candidates_for_90), fit.preferred]);
  if (fits.length) {
    parts.push(table('Fit', ['scheme', 'r', 'r by FLOPs', 'ceiling by the model in use', 'N for 90% of it', 'model in use'], fits));
    parts.push(table('Models', ['scheme', 'model', 'speed-up', 'parameters', 'r of one more candidate', 'largest residual', 'left-out error'], Object.entries(c.fits).flatMap(([scheme, fit]) => fit.models.map((one) =>
        [scheme, one.model, one.formula, one.parameters.map(parameter).join(', '), estimate(one.marginal_r), share(one.max_residual_pct), share(one.loo_error_pct)]))));
    parts.push(listOf(Object.entries(c.fits).flatMap(([scheme, fit]) => [`${scheme}: ${text(fit.verdict)}`, ...fit.slowdowns.map((loss) => `${scheme}: ${loss}`), ...(fit.next ? [`Next: ${fit.next}`] : [])])));
  }
  if (c.equivalence) {
    const errors = (pair) => pair ? significant(pair.max_abs, 2) : '-';
    parts.push(table(`Equality check: ${c.equivalence.agrees ? 'outputs agree' : 'outputs DISAGREE'}; ${integer(c.equivalence.checked_candidates)} candidates, ${known(c.equivalence.judged_candidates) ? `${integer(c.equivalence.judged_candidates)} of them by float64` : 'float64'} at ${text(c.equivalence.reference_shape)}`,
        ['scheme', 'largest error against float64', 'against naive', `top-${text(c.equivalence.top_k)} overlap`, 'Kendall tau', 'agrees'],
        Object.entries(c.equivalence.schemes).map(([scheme, row]) => [scheme, errors(row.vs_reference), errors(row.vs_naive), significant(row.top_k_overlap), significant(row.kendall_tau), row.agrees])));
  }
  // Files that were written before it was judged lack it.
  if (c.after_timing && c.after_timing.length) parts.push(objectsTable('Outputs of the last timings, judged after them', c.after_timing));
  if (c.composition.length) parts.push(objectsTable('Whole runs against composition', c.composition));
  if (c.machine) parts.push(table('Measured on', ['field', 'value'], flat(c.machine)));
  return parts;
}

/// A value in the unit of its row.
const quantity = (value, unit) => !known(value) ? '-' : unit === 's' ? value === 0 ? '0 s' : seconds(value) : unit === 'bytes' ? bytes(value) : unit === '1/s' ? `${significant(value, 4)}/s` : unit === '0..1' ? percent(value) :
    unit === 'tokens/s' ? `${integer(value)} tokens/s` : Number.isInteger(value) ? integer(value) : significant(value, 4);
const measured = (value, unit) => estimate(value, (one) => quantity(one, unit));
/// Without the unit that the value has.
const nameOf = (name) => name.replace(/(_per)?_s$/, '').replace(/_/g, ' ').replace(/^p(?=\d)/, 'P');

function trafficTables(traffic) {
  const parts = [
    traffic.latencies.length && table('Time from arrival to answer, with 95% intervals', ['', 'in all', 'of it waiting'], traffic.latencies.map((row) => [nameOf(row.name), measured(row.total, 's'), measured(row.wait, 's')])),
    traffic.saturated && element('p', {}, `No steady state: ${text(traffic.saturation)}.`),
    traffic.costs.threads * traffic.server.workers > (traffic.costs.cpus ?? Infinity) && element('p', {class: 'warning'}, `${integer(traffic.server.workers)} workers of ${integer(traffic.costs.threads)} threads need more than the ${integer(traffic.costs.cpus)} CPUs of the measured machine.`),
    ...traffic.latencies.filter((row) => row.missing).map((row) => element('p', {}, `${nameOf(row.name)}: ${text(row.missing)}.`)),
    traffic.find.length && table('What was searched', ['', 'just meets the P99', 'P99 there', 'does not meet it'], traffic.find.map((row) => [row.what, quantity(row.value, row.unit), measured(row.p99_s, 's'), quantity(row.fails_at, row.unit)])),
    traffic.replay.length && table('Simulated against replayed on the engine', ['', 'replayed', 'simulated', 'off by', 'held to within', ''], traffic.replay.map((row) => [nameOf(row.name), quantity(row.replayed, row.unit), quantity(row.simulated, row.unit), percent(row.error_pct / 100), known(row.tolerance_pct) ? percent(row.tolerance_pct / 100) : '-', known(row.tolerance_pct) ? row.within ? 'within' : 'outside' : 'shown only'])),
    traffic.figures.length && table('What the fleet does, with 95% intervals', ['', 'value'], traffic.figures.map((row) => [`${nameOf(row.name)}${/hit_rate$/.test(row.name) ? ', after the warm-up' : ''}`, measured(row.value, row.unit)])),
    traffic.columns.length && table('The requests', ['', 'mean', 'P50', 'P95', 'P99', 'largest'], traffic.columns.map((row) => [nameOf(row.name), ...['mean', 'p50', 'p95', 'p99', 'max'].map((key) => quantity(row[key], row.unit))])),
    traffic.capacity.length && table('The same fleet at other rates', ['rate', 'utilisation', 'P99', 'workers of a perfect system'], traffic.capacity.map((row) => [quantity(row.requests_per_s, '1/s'), percent(row.utilisation), row.saturated ? 'falls behind' : row.p99_s ? measured(row.p99_s, 's') : 'too few requests', row.offered_load_workers])),
    traffic.hit_rates.length && table('What a cache finds, by its size, of all requests from an empty cache on', ['cache', 'LRU', 'LRU by Che', 'Belady', 'bound', 'tokens, by LRU'], traffic.hit_rates.map((row) => [bytes(row.cache_bytes), ...['lru', 'che', 'belady', 'bound', 'lru_tokens'].map((key) => percent(row[key]))])),
    table('Fleet', ['', 'value'], [
      ['requests', `${integer(traffic.requests)} of ${integer(traffic.users)} users in ${seconds(traffic.duration_s)}`], ['workload', traffic.workload], ['rate', quantity(traffic.requests_per_s, '1/s')],
      ['rows left out', traffic.skipped_rows], ['workers', traffic.server.workers], ['order', traffic.server.order === 'fifo' ? 'first come first served' : 'shortest service first'],
      ...(traffic.server.batch_max > 1 ? [['batch', `up to ${integer(traffic.server.batch_max)} requests within ${seconds(traffic.server.batch_window_s)}`]] : []),
      ['cache', traffic.cache.bytes > 0 ? `${bytes(traffic.cache.bytes)} in pages of ${integer(traffic.cache.page_tokens)} tokens` : 'none'],
      ...(known(traffic.cache.ttl_s) ? [['cached for', seconds(traffic.cache.ttl_s)]] : []),
      ['keys and values of a token', bytes(traffic.costs.bytes_per_token)], ['service times', `${traffic.costs.source}: ${text(traffic.costs.basis)}`],
      ['replications', traffic.replications], ['workers of a perfect system, busiest window', traffic.offered_load_workers],
    ]),
    traffic.service.length && objectsTable('Service times', traffic.service),
  ];
  if (traffic.assumptions.length) parts.push(element('h3', {}, 'Assumed'), listOf(traffic.assumptions));
  return parts;
}

function makeTables() {
  const place = byId('tables');
  for (const one of reports) {
    const report = one.report, sizing = report.sizing;
    place.append(element('h2', {}, several ? `Figures of ${fullName(one)}` : 'Figures'));
    const main = largestCase(report.cases);
    for (const c of report.cases) place.append(section(shapeLabel(c.shape), c === main, ...caseTables(c)));
    if (report.degradation.length) place.append(section('Throughput drop, measured', false, objectsTable('With a ranking head', report.degradation)));
    if (sizing) {
      const lists = [['budgets', 'Budgets'], ['changes', 'Changes that would do'], ['points', 'At some N'], ['inputs', 'Inputs, and N when each is 10% less or more'], ['alternatives', 'Other ways to spend the same'], ['parameters', 'Other shapes'],
        ['fractions', 'Shares of the largest speed-up'], ['drop_targets', 'Drops to reach'], ['fleet', 'Fleet'], ['memory', 'Keys and values of a user'], ['frontiers', 'N where one thing varies'], ['advice', "The design note's advice"]];
      place.append(section('Sizing', false, element('p', {}, sizing.answer), ...sizing.caveats.map((caveat) => element('p', {}, caveat)), ...lists.filter(([key]) => sizing[key].length).map(([key, caption]) => objectsTable(caption, sizing[key])), sizing.notes.length ? listOf(sizing.notes) : null));
    }
    if (report.traffic) place.append(section('Traffic', !main, element('p', {}, trafficAnswer(report.traffic)), ...trafficTables(report.traffic)));
    const conditions = report.conditions && table('Conditions', ['field', 'value'], flat(report.conditions));
    place.append(section('Machine', false, report.machine && table('Machine', ['field', 'value'], flat(report.machine)), conditions, table('Tool', ['field', 'value'], flat(report.tool))));
    place.append(section('Configuration', false, report.config && table('Effective configuration; a run from it repeats this one', ['field', 'value'], flat(report.config))));
  }
}

// ---- theme, shape, print

function setTheme(dark) {
  document.documentElement.dataset.theme = dark ? 'dark' : 'light';
  byId('theme').setAttribute('aria-pressed', String(dark));
  drawCharts();
}
const prefersDark = matchMedia('(prefers-color-scheme: dark)');
let toggled = false;
byId('theme').addEventListener('click', () => { toggled = true; setTheme(!isDark()); });
prefersDark.addEventListener('change', () => { if (!toggled) setTheme(prefersDark.matches); });

const shapes = [...new Set(reports.flatMap((one) => one.report.cases.map((c) => shapeLabel(c.shape))))];
if (shapes.length > 1) {
  const select = byId('shape');
  select.append(element('option', {value: ''}, 'the largest'));
  for (const label of shapes) select.append(element('option', {value: label}, label));
  select.addEventListener('change', () => { chosenShape = select.value; drawCharts(); });
  byId('shape-label').hidden = false;
}

let closed = [];
addEventListener('beforeprint', () => {
  if (printing) return;
  printing = true;
  closed = [...document.querySelectorAll('#tables details:not([open])')];
  for (const one of closed) one.open = true;
  drawCharts();
});
addEventListener('afterprint', () => {
  printing = false;
  for (const one of closed) one.open = false;
  drawCharts();
});

makeTop();
makeWhatIf();
makeTables();
setTheme(prefersDark.matches);

// For the tests of this page.
window.kvcastPage = {charts: () => charts, whatIf: () => whatIf, csvRows};
})();
