// The charts, each made of the reports of #data: {id, title, note, sets, x, y}, or null where there is nothing to draw.

const {r_design_note: designNoteR, reports} = JSON.parse(byId('data').textContent);
const several = reports.length > 1;

// ---- the reports

/// By what tells it from the others; two that are alike in that, by their names too.
reports.forEach((one, i) => {
  const alike = reports.filter((other) => other.title === one.title).length > 1;
  one.label = one.title && one.name && alike ? `${one.title} (${one.name})` : one.title || one.name || (several ? `report ${i + 1}` : '');
  // Two of the same name would be one series.
  if (several && reports.slice(0, i).some((other) => other.label === one.label)) one.label += ` (${i + 1})`;
});
const prefix = (one) => several ? `${one.label}: ` : '';
const shapeLabel = ({shape}) => shape ? `L=${integer(shape.history_length)}, d=${integer(shape.dim)}, layers=${integer(shape.layers)}` : 'timings without a shape';
const hasFit = (one) => Object.values(one.fits).some((fit) => fit.r);
const sizeOf = ({shape}) => shape ? shape.layers * 1e9 + shape.history_length : 0;
let chosenShape = '';
/// The chosen shape, else the largest with a fit.
function caseOf({report: {cases}}) {
  if (chosenShape) return cases.filter((one) => shapeLabel(one) === chosenShape).pop();
  return cases.reduce((best, one) => !best || (hasFit(one) === hasFit(best) ? sizeOf(one) >= sizeOf(best) : hasFit(one)) ? one : best, undefined);
}
const withCases = () => reports.map((one) => ({one, c: caseOf(one)})).filter(({c}) => c);
const withSizing = () => reports.map((one) => ({one, sizing: one.report.sizing})).filter(({sizing}) => sizing);
const withTraffic = () => reports.map((one) => ({one, traffic: one.report.traffic})).filter(({traffic}) => traffic);
const ofCase = (c, row) => !c || !c.shape || row.history_length === null ||
    (row.history_length === c.shape.history_length && (row.layers ?? c.shape.layers) === c.shape.layers);
/// What describes the speed-ups: all that is said of them beyond the points is by it. None: undefined.
const modelOf = (fit) => fit.preferred === 'untested' ? fit.models[0] : fit.models.find((one) => one.model === fit.preferred);

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
const soft = () => isDark() ? '#a0a9b3' : '#57606a';
const alarm = () => isDark() ? '#ff7b7b' : '#c0262d';

// ---- series and axes

const points = (label, data, hue, more = {}) => ({label, data, borderColor: hue, backgroundColor: hue, showLine: false, pointRadius: 4, pointHoverRadius: 6, mark: 'dot', ...more});
const line = (label, data, hue, more = {}) => ({label, data, borderColor: hue, backgroundColor: hue, showLine: true, pointRadius: 0, pointHitRadius: 6, borderWidth: 2, mark: 'line', ...more});
const joined = {showLine: true, borderWidth: 2, mark: 'line'};
const dashed = {borderDash: [6, 4], mark: 'dash'};
const dotted = {borderDash: [2, 4], borderWidth: 1.5, mark: 'dash'};
const crosses = {pointStyle: 'crossRot', pointRadius: 7, pointHoverRadius: 9, borderWidth: 2.5, mark: 'cross'};
const upright = (label, x, from, to, hue) => line(label, [{x, y: from}, {x, y: to}], hue, dotted);
const level = (label, y, from, to, hue) => line(label, [{x: from, y}, {x: to, y}], hue, dotted);
function band(label, low, high, hue) {
  const edge = {borderWidth: 0, pointRadius: 0, pointHitRadius: 0, backgroundColor: hue + '2e', borderColor: hue, showLine: true, of: label, noLegend: true};
  return [{...edge, label: `${label}, low end`, data: low, fill: false}, {...edge, label: `${label}, high end`, data: high, fill: '-1'}];
}
/// A point whose y is a number, or an estimate with an interval, times `scale`; nothing where it is unknown.
function pointAt(x, y, scale = 1) {
  const value = y && typeof y === 'object' ? y.value : y;
  if (!known(x) || !known(value)) return [];
  const ci = y && y.ci95;
  return [{x, y: scale * value, ...(ci ? {lo: scale * ci[0], hi: scale * ci[1]} : {})}];
}
const pointsOf = (rows, x, y, scale) => rows.flatMap((row) => pointAt(row[x], row[y], scale));
/// Adds a line per [member of the rows, label, what it is coloured by, style] that anything is known of.
function addLines(sets, one, rows, x, lines, scale) {
  for (const [member, label, series, style] of lines) {
    const data = pointsOf(rows, x, member, scale);
    if (data.length) sets.push(line(prefix(one) + label, data, colour(prefix(one) + series), {pointRadius: 3, ...style}));
  }
}
/// Of the points of the case of each report: calls add(name with the report's, data, report) for each scheme.
function eachScheme(value, add) {
  for (const {one, c} of withCases()) {
    for (const scheme of new Set(c.points.flatMap((point) => Object.keys(point.schemes)))) {
      const data = c.points.flatMap((point) => Object.hasOwn(point.schemes, scheme) ? pointAt(point.candidates, value(point.schemes[scheme])) : []);
      if (data.length) add(prefix(one) + scheme, data, one);
    }
  }
}

/// 1, 2 and 5 of every decade, the 1 alone over many decades; of bytes and tokens powers of 2.
const ticksOf = (values) => (scale) => {
  const ticks = values(scale.min, scale.max).filter((value) => value >= scale.min * (1 - 1e-9) && value <= scale.max * (1 + 1e-9));
  if (ticks.length > 1) scale.ticks = ticks.map((value) => ({value}));
};
const stepped = (from, to, step, digits = [1]) => {
  const all = [];
  for (let i = Math.floor(Math.log(from) / Math.log(step)); i <= Math.log(to) / Math.log(step) + 1; ++i) all.push(...digits.map((digit) => digit * step ** i));
  return all;
};
const logTicks = ticksOf((min, max) => stepped(min, max, 10, Math.log10(max / min) > 3.3 ? [1] : [1, 2, 5]));
const binaryTicks = ticksOf((min, max) => stepped(min, max, 2 ** Math.max(1, Math.ceil(Math.log2(max / min) / 7))));
const axis = (title, type = 'logarithmic', format = plain, more = {}) => ({
  type, inBytes: format === bytes,
  title: {display: true, text: title, color: soft()},
  grid: {color: (at) => at.tick && at.tick.value === 0 ? soft() : isDark() ? '#2b333c' : '#e3e7eb'},
  afterBuildTicks: type !== 'logarithmic' ? undefined : format === bytes ? binaryTicks : logTicks,
  ticks: {
    color: soft(), maxRotation: 0, autoSkipPadding: 6,
    callback(value) { return type === 'category' ? this.getLabelForValue(value) : format === bytes ? bytes(value, plain) : format(value); },
  },
  ...more,
});
const byN = () => axis('candidates N');
const byLength = () => axis('history length L, tokens', 'logarithmic', plain, {afterBuildTicks: binaryTicks});
const linear = (title, more) => axis(title, 'linear', plain, more);
const times = (value) => `${plain(value)}x`;

const xRange = (sets) => {
  const all = sets.flatMap((set) => set.data.map((point) => point.x));
  return [Math.min(...all), Math.max(...all)];
};
/// Ends of a logarithmic axis: every value, and error bars as far as ten times beyond.
function rangeOf(sets) {
  const all = sets.filter((set) => !set.noLegend).flatMap((set) => set.data).filter((point) => point.y > 0);
  const low = Math.min(...all.map((point) => point.y)), high = Math.max(...all.map((point) => point.y));
  const min = Math.max(low / 10, Math.min(low, ...all.filter((point) => point.lo > 0).map((point) => point.lo)));
  const max = Math.min(high * 10, Math.max(high, ...all.filter((point) => known(point.hi)).map((point) => point.hi)));
  const nice = stepped(min, max, 10, [1, 2, 5]);
  return {min: nice.filter((value) => value <= min * (1 + 1e-9)).pop(), max: nice.find((value) => value >= max * (1 - 1e-9))};
}

// ---- cost models

const law = (n, r) => n / (1 + (n - 1) * r);
/// A formula of numbers, names, + - * / and brackets. Nothing of a report is run as code.
function evaluate(formula, names) {
  const tokens = formula.match(/[A-Za-z_]\w*|[\d.]+|\S/g);
  let at = 0;
  const factorOf = () => {
    const token = tokens[at++];
    if (token !== '(') return Object.hasOwn(names, token) ? names[token] : Number(token);
    const value = sumOf();
    ++at;
    return value;
  };
  const chain = (next, apply) => () => {
    let value = next();
    while (Object.hasOwn(apply, tokens[at])) value = apply[tokens[at++]](value, next());
    return value;
  };
  const productOf = chain(factorOf, {'*': (a, b) => a * b, '/': (a, b) => a / b});
  const sumOf = chain(productOf, {'+': (a, b) => a + b, '-': (a, b) => a - b});
  return sumOf();
}
const modelled = (model, n, formula = model.formula) =>
    evaluate(formula, {N: n, ...Object.fromEntries(model.parameters.map((one) => [one.symbol, one.value]))});

// ---- charts of a run

function speedupChart() {
  const sets = [];
  eachScheme((row) => row.speedup, (name, data) => sets.push(points(`${name}, measured`, data, colour(name), {order: 0})));
  const fits = withCases().flatMap(({one, c}) => Object.entries(c.fits).filter(([, fit]) => fit.r)
      .map(([scheme, fit]) => ({name: prefix(one) + scheme, fit, ceiling: one.ceilings[one.report.cases.indexOf(c)][scheme]})));
  for (const {one, sizing} of sets.length ? [] : withSizing()) addLines(sets, one, sizing.points, 'candidates', [['speedup', `${sizing.scheme}, sized`, sizing.scheme]]);
  if (!sets.length) return null;
  const last = 4 * xRange(sets)[1];
  const counts = Array.from({length: 81}, (_, i) => last ** (i / 80));
  for (const {name, fit, ceiling} of fits) {
    // The model in use, as far as it says anything: another one would be another figure for the same thing.
    const hue = colour(name), model = modelOf(fit);
    const curve = (of) => counts.filter((n) => n <= (fit.known_to ?? Infinity) * (1 + 1e-9)).map((n) => ({x: n, y: of(n)}));
    if (!model) continue;
    const label = model === fit.models[0] ? `${name}, r = ${significant(fit.r.value)}` : `${name}, ${model.model} ${model.formula}`;
    if (model === fit.models[0] && fit.r.ci95 && fits.length <= 4) {
      sets.push(...band(label, curve((n) => law(n, Math.min(1, fit.r.ci95[1]))), curve((n) => law(n, Math.max(0, fit.r.ci95[0]))), hue));
    }
    sets.push(line(label, curve((n) => modelled(model, n)), hue));
    if (known(fit.asymptote)) sets.push(level(`${name}, ceiling ${ceiling}`, fit.asymptote, 1, last, hue));
  }
  sets.push(line(`design note, r = ${plain(designNoteR)}`, counts.map((n) => ({x: n, y: law(n, designNoteR)})), soft(), dashed));
  return {
    id: 'speedup', title: 'Speed-up over naive', wide: true, sets, x: byN(), y: axis('speed-up', 'logarithmic', times, rangeOf(sets)),
    note: 'Points with 95% intervals; lines are the model in use, shaded where its r has an interval. Both axes logarithmic.',
  };
}

function throughputChart() {
  const sets = [];
  eachScheme((row) => row.candidates_per_s, (name, data) => sets.push(points(name, data, colour(name), joined)));
  return {id: 'throughput', title: 'Throughput', sets, note: 'Candidates per second, medians.', x: byN(), y: axis('candidates/s')};
}

function splitChart() {
  const sets = [], counts = new Set();
  for (const [key, label, faint] of [['prefill_s', 'prefill', ''], ['scoring_s', 'scoring', '73']]) {
    eachScheme((row) => known(row.prefill_s) && known(row.scoring_s) ? row[key] : null, (name, data) => {
      const hue = colour(name) + faint;
      data.forEach(({x}) => counts.add(x));
      sets.push({label: `${name}, ${label}`, data: data.map(({x, y}) => ({x: plain(x), y: 1e3 * y})), backgroundColor: hue, borderColor: hue, stack: name, mark: 'dot'});
    });
  }
  return {
    id: 'split', title: 'Where the time of a request goes', type: 'bar', labels: [...counts].sort((a, b) => a - b).map(plain), sets,
    note: 'Median time of the prefill and of the scoring pass.',
    x: axis('candidates N', 'category', plain, {stacked: true}), y: linear('ms per request', {stacked: true}),
  };
}

function dropChart() {
  const sets = [];
  const rules = (scheme) => [['drop_exact', `${scheme}, exact rule`, scheme, dashed], ['drop_design_note', `${scheme}, design note's rule`, scheme, dotted]];
  for (const one of reports) {
    const {sizing, degradation} = one.report, rows = degradation.filter((row) => ofCase(caseOf(one), row));
    for (const scheme of new Set(rows.map((row) => row.scheme))) {
      addLines(sets, one, rows.filter((row) => row.scheme === scheme), 'candidates', [['drop', `${scheme}, measured`, scheme], ...rules(scheme)], 100);
    }
    if (sizing && !rows.length) addLines(sets, one, sizing.points, 'candidates', [['drop_naive', 'naive', 'naive'], ...rules(sizing.scheme)], 100);
  }
  return {
    id: 'drop', title: 'Throughput that the ranker loses, by N', sets, note: 'Against the same ranker without the sequence model.',
    x: byN(), y: linear('drop, %', {min: 0}),
  };
}

function dropByLengthChart() {
  const sets = [];
  for (const one of reports) {
    const {sizing, degradation} = one.report, most = Math.max(...degradation.map((row) => row.candidates));
    const rows = degradation.filter((row) => known(row.history_length) && row.candidates === most), deep = new Set(rows.map((row) => row.layers)).size > 1;
    const name = (row) => `${row.scheme}, N=${integer(row.candidates)}${deep ? `, layers=${row.layers}` : ''}`;
    for (const own of new Set(rows.map(name))) {
      const mine = rows.filter((row) => name(row) === own);
      if (mine.length > 1) addLines(sets, one, mine, 'history_length', [['drop', `${own}, measured`, deep ? own : mine[0].scheme]], 100);
    }
    if (sizing) addLines(sets, one, lengthsOf(sizing), 'at', [['drop_naive', 'naive, sized', 'naive', dashed], ['drop_shared', `${sizing.scheme} at the expected N, sized`, sizing.scheme, dashed]], 100);
  }
  return {
    id: 'drop-length', title: 'Throughput that the ranker loses, by L', sets, note: 'At the largest N measured, or at the expected N of the sizing.',
    x: byLength(), y: linear('drop, %', {min: 0}),
  };
}

function rByLengthChart() {
  const sets = [];
  for (const one of reports) {
    const cases = one.report.cases.filter((c) => c.shape), deep = new Set(cases.map((c) => c.shape.layers)).size > 1;
    const rows = cases.flatMap((c) => Object.entries(c.fits).map(([scheme, {r}]) => ({r, at: c.shape.history_length, name: scheme + (deep ? `, layers=${c.shape.layers}` : '')})));
    for (const name of new Set(rows.map((row) => row.name))) {
      const own = rows.filter((row) => row.name === name && row.r && row.r.value > 0).sort((a, b) => a.at - b.at);
      if (new Set(own.map((row) => row.at)).size > 1) addLines(sets, one, own, 'at', [['r', name, name]]);
    }
  }
  return {
    id: 'r-length', title: 'r by L', sets, note: 'Cost of one more candidate over one naive candidate, with 95% intervals.',
    x: byLength(), y: axis('r', 'logarithmic', plain, rangeOf(sets)),
  };
}

function residualChart() {
  const sets = [];
  for (const {one, c} of withCases()) {
    for (const [scheme, fit] of Object.entries(c.fits)) {
      fit.models.forEach((model, i) => {
        const data = pointsOf(model.residuals, 'candidates', 'pct');
        const style = i ? {pointStyle: ['rectRot', 'triangle', 'rect', 'star'][(i - 1) % 4], ...dashed} : {};
        if (data.length) sets.push(points(`${prefix(one)}${scheme}, ${model.model}`, data, colour(prefix(one) + scheme), {...joined, borderWidth: 1, ...style}));
      });
    }
  }
  return {
    id: 'residuals', title: 'Residuals of the models', sets, note: 'Modelled over measured speed-up, less 1: near 0 at every N where a model holds.',
    x: byN(), y: linear('residual, %'),
  };
}

// ---- charts of a sizing

const soleHue = (one) => several ? colour(prefix(one)) : soft();
const ms = (value) => 1e3 * value;
const lengthsOf = (sizing) => sizing.frontiers.filter((row) => row.axis === 'history_length');
/// The P99 limits asked for, one where all reports have the same.
function limitsOf(all) {
  const asked = all.filter(({limit}) => known(limit)), alike = asked.every(({limit}) => limit === asked[0].limit);
  return (alike ? asked.slice(0, 1) : asked).map(({one, limit}) => ({limit, label: `${alike ? '' : prefix(one)}P99 limit ${seconds(limit)}`}));
}
const sizedLimits = () => limitsOf(withSizing().map(({one, sizing}) => ({one, limit: (sizing.budgets.find((row) => row.name === 'p99') || {}).limit})));
const trafficLimits = () => limitsOf(withTraffic().map(({one, traffic}) => ({one, limit: traffic.p99_limit_s})));

function p99Chart() {
  const sets = [];
  for (const {one, sizing: {scheme, points: rows}} of withSizing()) {
    addLines(sets, one, rows, 'candidates', [['p99_s', scheme, scheme], ['p99_conservative_s', `${scheme}, conservative`, scheme, dashed], ['naive_p99_s', 'naive', 'naive']], 1e3);
  }
  if (!sets.length) return null;
  const [from, to] = xRange(sets), range = rangeOf(sets), limits = sizedLimits();
  for (const {limit, label} of limits) sets.push(level(label, ms(limit), from, to, alarm()));
  for (const {one, sizing: {expected_candidates: n}} of withSizing()) {
    if (n >= 1 && n <= to) sets.push(upright(`${prefix(one)}expected N = ${integer(n)}`, n, range.min, range.max, soleHue(one)));
  }
  // Naive leaves the range that matters: it is cut, not all squeezed.
  const most = 20 * ms(Math.max(...limits.map(({limit}) => limit)));
  return {
    id: 'p99', title: 'P99 latency by N', sets, note: 'Of the service time, and of the wait for a worker where a rate is stated.',
    x: byN(), y: axis('P99, ms', 'logarithmic', plain, {...range, max: most > range.min ? Math.min(range.max, most) : range.max}),
  };
}

function nByLengthChart() {
  const sets = [];
  for (const {one, sizing} of withSizing()) {
    const rows = lengthsOf(sizing), {scheme} = sizing;
    if (rows.length > 1) addLines(sets, one, rows, 'at', [['expected_candidates', 'expected N', scheme], ['conservative_candidates', 'conservative N', scheme, dashed]]);
  }
  return {id: 'n-length', title: 'N by L', sets, note: 'Largest N within the budgets of the sizing.', x: byLength(), y: axis('candidates N', 'logarithmic', plain, rangeOf(sets))};
}

function memoryChart() {
  const sets = [], sized = new Set(withSizing().filter(({sizing}) => sizing.points.some((row) => row.memory_bytes > 0)).map(({one}) => one));
  for (const {one, sizing: {scheme, points: rows}} of withSizing()) {
    addLines(sets, one, rows, 'candidates', [['memory_bytes', `${scheme}, process`, scheme], ['copies_memory_bytes', 'a copy per candidate, process', 'shared-copy'], ['naive_memory_bytes', 'naive, process', 'naive']]);
  }
  eachScheme((row) => row.kv_bytes, (name, data, one) => {
    if (!sized.has(one)) sets.push(points(`${name}, keys and values`, data, colour(name), joined));
  });
  return {
    id: 'memory', title: 'Memory', sets, note: 'Process: weights, workers and cached users, computed. Otherwise keys and values alone.',
    x: byN(), y: axis('memory', 'logarithmic', bytes),
  };
}

// ---- charts of traffic

/// A colour per series; of several reports a colour each, and series differ by their dashes.
const seriesOf = (name) => several ? '' : name;
const trafficHue = (one, series) => colour(prefix(one) + seriesOf(series));

/// The tail is what is asked about, so the axis is that of the share that takes longer, and reads as percentiles.
function latencyChart() {
  const sets = [];
  for (const {one, traffic} of withTraffic()) {
    // Nothing takes longer than the last point, which a logarithmic axis has no place for.
    const data = traffic.cdf.filter((point) => point.share < 1 - 1e-12 && point.seconds > 0).map((point) => ({x: ms(point.seconds), y: 100 * (1 - point.share), value: 100 * point.share}));
    if (data.length) sets.push(line(`${prefix(one)}requests`, data, trafficHue(one, 'requests')));
  }
  if (!sets.length) return null;
  const least = 10 ** Math.floor(Math.log10(Math.min(1, ...sets.flatMap((set) => set.data.map((point) => point.y)))) + 1e-9);
  for (const {limit, label} of trafficLimits()) {
    sets.push(line(label, [{x: ms(limit), y: 100, value: 0}, {x: ms(limit), y: least, value: 100 - least}], alarm(), dotted));
  }
  const [from, to] = xRange(sets), edge = 10 ** Math.floor(Math.log10(from));
  const shares = [100, 50, 25, 10, 5, 1, 0.1, 0.01, 0.001, 0.0001].filter((value) => value >= least);
  return {
    id: 'latency', title: 'Requests answered within a time', wide: true, sets,
    note: 'From arrival to answer, queueing included. The upper end is stretched to show the tail.' + (withTraffic().some(({traffic}) => traffic.saturated) ? ' A saturated fleet has no steady state: the curve is that of the requests replayed.' : ''),
    x: axis('ms from arrival to answer', 'logarithmic', plain, {min: Math.floor(from / edge + 1e-9) * edge, max: to * 1.05}),
    y: axis('requests, %', 'logarithmic', (left) => `${plain(100 - left)}%`, {reverse: true, min: least, max: 100, afterBuildTicks: ticksOf(() => shares)}),
  };
}

function hitRateChart() {
  const sets = [];
  for (const {one, traffic} of withTraffic()) {
    addLines(sets, one, traffic.hit_rates, 'cache_bytes', [['lru', 'LRU', seriesOf('LRU')], ['che', 'LRU by Che', seriesOf('Che'), {...dashed, pointRadius: 0}], ['belady', 'Belady', seriesOf('Belady'), {pointRadius: 0}], ['bound', 'bound of any policy', seriesOf('bound'), {...dotted, pointRadius: 0}]], 100);
  }
  if (!sets.length) return null;
  const most = Math.min(100, 10 * Math.ceil(Math.max(...sets.flatMap((set) => set.data.map((point) => point.y))) / 10 + 0.2));
  for (const {one, traffic: {cache, hit_rates}} of withTraffic()) {
    if (cache.bytes > 0 && hit_rates.length) sets.push(upright(`${prefix(one)}cache in use, ${bytes(cache.bytes)}`, cache.bytes, 0, most, soleHue(one)));
  }
  const [min, max] = xRange(sets);
  return {
    id: 'hit-rate', title: 'Cache hits by cache size', sets,
    note: 'The same requests without a queue. Che: as if users came independently. Belady: evicts who is needed last.',
    x: axis('cache size', 'logarithmic', bytes, {min, max}), y: linear('requests, %', {min: 0, max: most}),
  };
}

function capacityChart() {
  const sets = [], all = withTraffic().filter(({traffic}) => traffic.capacity.length);
  for (const {one, traffic} of all) {
    const data = pointsOf(traffic.capacity, 'requests_per_s', 'p99_s', 1e3);
    if (data.length) sets.push(points(`${prefix(one)}P99`, data, trafficHue(one, 'P99'), joined));
  }
  if (!sets.length) return null;
  const rates = all.flatMap(({traffic}) => traffic.capacity.map((row) => row.requests_per_s));
  for (const {limit, label} of trafficLimits()) sets.push(level(label, ms(limit), Math.min(...rates), Math.max(...rates), alarm()));
  const range = rangeOf(sets);
  for (const {one, traffic} of all) {
    // Above everything that has a P99: they have none.
    const data = traffic.capacity.filter((row) => row.saturated).map((row) => ({x: row.requests_per_s, y: range.max, value: null}));
    if (data.length) sets.push(points(`${prefix(one)}saturated: no steady P99`, data, trafficHue(one, 'P99'), {...crosses, clip: false}));
    sets.push(upright(`${prefix(one)}rate of the report, ${significant(traffic.requests_per_s, 4)}/s`, traffic.requests_per_s, range.min, range.max, soleHue(one)));
  }
  return {
    id: 'capacity', title: 'P99 at other rates', sets, note: 'The same fleet, with 95% intervals. More requests come from more users; the clock is not sped up.',
    x: linear('requests/s'), y: axis('P99, ms', 'logarithmic', plain, range),
  };
}

function utilisationChart() {
  const sets = [];
  for (const {one, traffic} of withTraffic()) {
    const at = (rows) => pointsOf(rows, 'requests_per_s', 'utilisation', 100), hue = trafficHue(one, 'P99');
    const over = traffic.capacity.filter((row) => row.saturated);
    if (traffic.capacity.length) sets.push(points(`${prefix(one)}utilisation`, at(traffic.capacity), hue, joined));
    if (over.length) sets.push(points(`${prefix(one)}saturated`, at(over), hue, crosses));
  }
  return {
    id: 'utilisation', title: 'Utilisation at other rates', sets, note: 'Share of the time that the workers are busy.',
    x: linear('requests/s'), y: linear('busy, %', {min: 0, suggestedMax: 100}),
  };
}

/// By windows. series: [member, label, scale, style]; windows of a replay in which the machine was disturbed are marked on the first.
function overTime(id, title, note, unit, series, more = {}) {
  const sets = [];
  const at = (rows, [member, , scale]) => pointsOf(rows, 'start_s', member, scale);
  let disturbed = false;
  for (const {one, traffic: {windows}} of withTraffic()) {
    if (windows.length < 2) continue;
    for (const each of series) {
      const data = at(windows, each);
      if (data.length) sets.push(line(prefix(one) + each[1], data, trafficHue(one, each[1]), {pointRadius: windows.length > 60 ? 0 : 2, ...each[3]}));
    }
    const marks = at(windows.filter((row) => !row.clean), series[0]);
    if (marks.length) sets.push(points(`${prefix(one)}machine disturbed`, marks, alarm(), crosses));
    disturbed = disturbed || marks.length > 0;
  }
  return {
    id, title, sets, note: note + (disturbed ? ' Crossed: something else slowed the machine in that window.' : ''),
    x: linear('seconds since the first request', {min: 0}), y: linear(unit, {min: 0, ...more}),
  };
}
const rateOverTime = () => overTime('rate-time', 'Requests over time', 'A point per window; of a simulation its first replication.', 'requests/s', [['arrivals_per_s', 'arrive', 1, {}], ['completions_per_s', 'answered', 1, dashed]]);
function latencyOverTime() {
  const spec = overTime('p99-time', 'P99 over time', 'Of the requests answered in a window.', 'P99, ms', [['p99_s', 'P99', 1e3, {}]]);
  const [from, to] = xRange(spec.sets);
  if (spec.sets.length) for (const {limit, label} of trafficLimits()) spec.sets.push(level(label, ms(limit), from, to, alarm()));
  return spec;
}
const queueOverTime = () => overTime('queue-time', 'Queue over time', 'Requests waiting for a worker, mean of a window.', 'requests waiting', [['queue', 'waiting', 1, {}]]);
const hitsOverTime = () => withTraffic().some(({traffic}) => traffic.cache.bytes > 0) ? overTime('hits-time', 'Cache hits over time', 'Requests of a window that find their user in the cache.', 'requests, %', [['hit_rate', 'hits', 100, {}]], {suggestedMax: 10}) : null;

const kCharts = [speedupChart, throughputChart, splitChart, p99Chart, nByLengthChart, rByLengthChart, dropChart, dropByLengthChart, memoryChart, residualChart,
  latencyChart, hitRateChart, capacityChart, utilisationChart, rateOverTime, latencyOverTime, queueOverTime, hitsOverTime];

// ---- drawing

const errorBars = {
  id: 'errorBars',
  afterDatasetsDraw(chart) {
    const {ctx, scales: {x, y}, chartArea} = chart;
    ctx.save();
    ctx.beginPath();
    ctx.rect(chartArea.left, chartArea.top, chartArea.width, chartArea.height);
    ctx.clip();
    // An end at or below 0 has no place on a logarithmic axis.
    const pixel = (value) => y.type === 'logarithmic' && !(value > 0) ? chartArea.bottom + 10 : y.getPixelForValue(value);
    chart.data.datasets.forEach((set, index) => {
      if (!chart.isDatasetVisible(index)) return;
      ctx.strokeStyle = set.borderColor;
      ctx.lineWidth = 1.5;
      for (const point of set.data) {
        if (!known(point.lo) || !known(point.hi)) continue;
        const at = x.getPixelForValue(point.x), ends = [pixel(point.lo), pixel(point.hi)];
        ctx.beginPath();
        ctx.moveTo(at, ends[0]);
        ctx.lineTo(at, ends[1]);
        for (const end of ends) {
          ctx.moveTo(at - 4, end);
          ctx.lineTo(at + 4, end);
        }
        ctx.stroke();
      }
    });
    ctx.restore();
  },
};

let charts = [];
/// What a point says: some charts place it elsewhere, and null is none.
const valueOf = (point) => 'value' in point ? point.value : point.y;
function csvRows({sets, x, y}) {
  const number = (at) => typeof at === 'string' ? Number(at.replace(/,/g, '')) : at;
  const head = ({title, inBytes}) => title.text + (inBytes ? ', bytes' : '');
  return [['series', head(x), head(y), 'low', 'high'],
    ...sets.filter((set) => !set.noLegend).flatMap((set) => set.data.map((point) => [set.label, number(point.x), valueOf(point), point.lo, point.hi]))];
}
function figuresOf(spec) {
  const [heads, ...rows] = csvRows(spec);
  const cell = (value) => ({text: typeof value === 'string' ? value : Number.isInteger(value) ? integer(value) : significant(value, 4)});
  return tableOf({title: spec.title, heads: heads.map((name, i) => ({name, right: i > 0})), rows: rows.slice(0, 1000).map((row) => row.map(cell))});
}

function legendOf(chart, spec) {
  const list = element('ul', {class: 'legend', 'aria-label': `Series of ${spec.title}`});
  spec.sets.forEach((set, index) => {
    if (set.noLegend) return;
    const mark = element('span', {class: set.mark, 'aria-hidden': 'true'});
    mark.style.borderColor = mark.style.color = set.borderColor;
    if (set.mark === 'dot') mark.style.background = set.backgroundColor;
    const button = listening(element('button', {type: 'button', 'aria-pressed': 'true', title: 'Show or hide'}, mark, set.label), 'click', () => {
      const visible = !chart.isDatasetVisible(index);
      button.setAttribute('aria-pressed', String(visible));
      spec.sets.forEach((other, at) => (at === index || other.of === set.label) && chart.setDatasetVisibility(at, visible));
      chart.update();
    });
    list.append(element('li', {}, button));
  });
  return list;
}

function tooltipOf(spec, {dataset, raw}) {
  const words = (axis, value) => typeof value === 'string' ? value : axis.inBytes ? bytes(value) : significant(value, 'value' in raw ? 5 : 3);
  const value = valueOf(raw), ends = known(raw.lo) ? ` [${words(spec.y, raw.lo)}, ${words(spec.y, raw.hi)}]` : '';
  return `${dataset.label}${value === null ? ',' : `: ${words(spec.y, value)}${ends}`} at ${words(spec.x, raw.x)}`;
}

function drawChart(spec, place) {
  const canvas = element('canvas', {role: 'img', 'aria-label': `${spec.title}. ${spec.note} The figures are in the table below.`});
  const csv = element('button', {type: 'button', 'aria-label': `Download ${spec.title} as CSV`}, 'CSV');
  const details = element('details', {}, element('summary', {}, 'Figures'));
  csv.addEventListener('click', () => downloadCsv(`kvcast-${spec.id}.csv`, csvRows(spec)));
  details.addEventListener('toggle', () => { if (details.open && details.childElementCount === 1) details.append(figuresOf(spec)); });
  const plot = element('div', {class: 'plot'}, canvas);
  place.append(element('figure', {class: spec.wide ? 'wide' : false, 'data-chart': spec.id},
      element('figcaption', {}, element('h2', {}, spec.title), csv), element('p', {}, spec.note), plot, details));
  // Nothing draws again once paper is laid out.
  if (printing) Object.assign(canvas, {width: plot.clientWidth, height: plot.clientHeight});
  const chart = new Chart(canvas, {
    type: spec.type || 'scatter',
    data: {labels: spec.labels, datasets: spec.sets},
    plugins: [errorBars],
    options: {
      animation: false, responsive: !printing, maintainAspectRatio: false,
      interaction: {mode: 'nearest', intersect: false},
      scales: {x: spec.x, y: spec.y},
      plugins: {legend: {display: false}, tooltip: {filter: (item) => !item.dataset.noLegend, callbacks: {title: () => '', label: (item) => tooltipOf(spec, item)}}},
    },
  });
  plot.before(legendOf(chart, spec));
  charts.push({id: spec.id, chart, spec});
}

function drawCharts() {
  for (const {chart} of charts) chart.destroy();
  charts = [];
  byId('charts').replaceChildren();
  for (const make of kCharts) {
    const spec = make();
    if (!spec) continue;
    // A logarithmic axis has no place for 0.
    if (spec.y.type === 'logarithmic') for (const set of spec.sets) set.data = set.data.filter((point) => point.y > 0);
    spec.sets = spec.sets.filter((set) => set.data.length);
    if (spec.sets.length) drawChart(spec, byId('charts'));
  }
}
