// What if: N under other budgets, by the formulas of src/analysis/sizing.cpp and queueing.cpp on the numbers of
// sizing.models.

const kMost = 1e9, kTail = 0.99, kRounding = 1e-12, kMaxUtilisation = 0.9;

function erlangC(workers, load) {
  let blocked = 1;
  for (let k = 1; k <= workers; ++k) {
    blocked = load * blocked / (k + load * blocked);
    if (blocked < 1e-100) return 0;
  }
  return blocked / (1 - load / workers * (1 - blocked));
}
/// Null: no steady state.
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
  let low = mean * shape[Math.max(1, Math.ceil((probability - kRounding) * shape.length)) - 1];
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
  let good = from, bad = to + 1;
  for (let step = 1; bad - good > 1; step *= 2) {
    const next = bad > to ? Math.min(to, good + step) : good + Math.floor((bad - good) / 2);
    if (holds(next)) good = next;
    else bad = next;
  }
  return good;
}
/// The largest N up to `most` for which `holds`, which may hold again behind a measured N; 0: none.
function largest(measured, most, holds) {
  let end = most;
  for (const n of measured.filter((count) => count <= most).reverse()) {
    const above = n < end ? last(n + 1, end, holds) : n;
    if (above > n) return above;
    if (holds(n)) return n;
    end = n - 1;
  }
  return end >= 1 ? last(1, end, holds) : 0;
}
/// A function of N through what was measured; beyond it the line, scaled to meet the outermost; the line where nothing was.
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

/// The budgets of the sizing, by their names there. known: whether the model tells what N candidates take of it; meets:
/// whether that is within the limit.
const kBudgets = [
  {name: 'p99', words: 'P99 latency', key: 'p99_s', known: () => true, meets: (problem, limit, n, conservative) => problem.late(limit, n, conservative) <= 1 - kTail + kRounding},
  {name: 'memory', words: 'memory', key: 'memory_bytes', known: (problem) => problem.hasMemory, meets: (problem, limit, n) => problem.bytesOf(n) <= limit},
  {name: 'qps', words: 'requests per second', key: 'requests_per_s', known: () => true, meets: (problem, limit, n, conservative) => problem.servedOf(n, conservative) >= limit},
];

/// What was asked of a sizing: {the keys of kBudgets, workers, users_cached, r_factor}.
function askedOf(sizing) {
  const named = (rows, name) => rows.find((row) => row.name === name) || {};
  const asked = {workers: named(sizing.inputs, 'workers').value ?? 1, users_cached: named(sizing.inputs, 'users_cached').value ?? 0, r_factor: 1};
  for (const {name, key} of kBudgets) asked[key] = named(sizing.budgets, name).limit ?? null;
  return asked;
}

function problemOf(sizing, model, asked) {
  const raw = [model.residuals, sizing.residuals, [1]].find((list) => list && list.length);
  const meanOf = (list) => list.reduce((sum, value) => sum + value, 0) / list.length;
  const meanResidual = meanOf(raw), shape = raw.map((value) => value / meanResidual);
  const cv2 = meanOf(shape.map((value) => (value - 1) ** 2));
  const slow = (n) => {
    const found = model.half_candidates.findIndex((count) => count >= n);
    return Math.exp(found < 0 ? model.half[model.half.length - 1] : model.half[found]);
  };
  const measured = model.measured_candidates ?? [];
  const whole = through(measured, model.measured_s, model.straight, (n) =>
      model.prefill_s + model.candidate_s * n + (known(model.block_s) ? model.block_s * Math.ceil(n / model.block_candidates) : 0));
  // No longer than a whole request, which the constant of the line may be.
  const prefill = Math.max(0, Math.min(model.prefill_s, whole(1), ...(model.measured_s ?? [])));
  const scoring = (n) => Math.max(0, whole(n) - prefill);
  // N over the speed-up, in naive candidates.
  const perSpeedup = known(model.speedup_user) && through(measured, measured.map((n, i) => n / model.measured_speedup[i]), model.speedup_straight, (n) => model.speedup_user + model.speedup_candidate * n);
  const secondsOf = (n, conservative) => (prefill + asked.r_factor * scoring(n)) * meanResidual * (conservative ? slow(n) : 1);
  const {worker_candidates: at, worker_bytes: worker} = model;
  const workerBytes = (n) => {
    if (at.length === 1) return worker[0];
    const found = at.findIndex((count) => count >= n), i = found < 0 ? at.length - 1 : Math.max(1, found);
    return worker[i - 1] + (worker[i] - worker[i - 1]) * (n - at[i - 1]) / (at[i] - at[i - 1]);
  };
  const waited = (n, conservative, otherwise, then) => {
    const mean = secondsOf(n, conservative), wait = waitOf(asked.requests_per_s, asked.workers, mean, cv2);
    return wait === null ? otherwise : then(wait, mean);
  };
  const row = lengthsOf(sizing).find((one) => one.at === model.history_length);
  const problem = {
    measured, most: (row ? row.known_to : sizing.known_to) ?? kMost, hasInterval: model.half.length > 0, hasMemory: at.length > 0, secondsOf,
    bytesOf: (n) => model.weights_bytes + asked.workers * workerBytes(n) + asked.users_cached * model.user_kv_bytes,
    /// Requests per second that leave the workers a tenth of their time.
    servedOf: (n, conservative) => kMaxUtilisation * asked.workers / secondsOf(n, conservative),
    /// Share of the requests that take longer than `limit`.
    late: (limit, n, conservative) => waited(n, conservative, 1, (wait, mean) => exceedance(wait, mean, shape, limit)),
    p99: (n, conservative) => waited(n, conservative, Infinity, (wait, mean) => quantile(wait, mean, shape, kTail)),
    utilisation: (n) => (asked.requests_per_s || 0) * secondsOf(n, false) / asked.workers,
    speedup: (n) => (perSpeedup ? n / perSpeedup(n) * (prefill + scoring(n)) : model.naive_candidate_s * n) / (prefill + asked.r_factor * scoring(n)),
  };
  problem.stated = kBudgets.filter((budget) => known(asked[budget.key]) && budget.known(problem))
      .map(({words, key, meets}) => ({words, meets: (n, conservative) => meets(problem, asked[key], n, conservative)}));
  return problem;
}

function solveAlone({measured, most, hasInterval, stated}) {
  const solution = {expected: most, conservative: hasInterval ? most : null, binding: '', budgets: []};
  for (const {words, meets} of stated) {
    const expected = largest(measured, most, (n) => meets(n, false));
    const conservative = hasInterval ? largest(measured, most, (n) => meets(n, true)) : null;
    solution.budgets.push({words, expected, conservative});
    if (expected < solution.expected) Object.assign(solution, {expected, binding: words});
    if (hasInterval) solution.conservative = Math.min(solution.conservative, conservative);
  }
  return solution;
}
/// Of a model of the sizing. What is conservative at a longer history is so at a shorter one too, as in its table; the
/// sized length keeps its own.
function solve(sizing, index, asked) {
  let solution = null;
  for (let i = sizing.models.length - 1; i >= index; --i) {
    const longer = solution && solution.conservative;
    solution = solveAlone(problemOf(sizing, sizing.models[i], asked));
    if (longer === null || solution.conservative === null || sizing.models[i].history_length === sizing.history_length) continue;
    solution.conservative = Math.max(solution.conservative, Math.min(longer, solution.expected));
  }
  return solution;
}

/// most: up to which anything is known.
const countText = (n, most = kMost) => n === null ? 'unknown' : n >= kMost ? 'no limit' : n >= most ? `at least ${integer(n)}` : integer(n);

// ---- the panel

/// asked, and the report and model that it is about.
const whatIf = {};

function showWhatIf(result) {
  const {sizing, model, asked} = whatIf, problem = problemOf(sizing, sizing.models[model], asked), {most} = problem;
  const solution = whatIf.solution = solve(sizing, model, asked), n = solution.expected;
  const count = (value) => countText(value, most);
  const small = (title, names, rows) => tableOf({title, heads: names.map((name, i) => ({name, right: i > 0})), rows: rows.map((row) => row.map((text) => ({text})))});
  result.replaceChildren(element('p', {class: 'answer'}, 'Largest N: ', element('strong', {id: 'expected'}, count(n)), ' expected, ',
      element('b', {id: 'conservative'}, count(solution.conservative)), ' conservative'));
  result.append(element('p', {}, !problem.stated.length ? 'No budget is stated.'
      : n === 0 ? `Not one candidate fits: ${solution.binding} is too tight.`
      : n >= kMost ? 'No budget limits N.' : n >= most ? `No budget limits N up to ${integer(most)}; nothing is known beyond.` : `Limited by ${solution.binding}.`));
  if (n >= 1 && n < kMost) {
    const saved = 1 - 1 / problem.speedup(n), p99 = problem.p99(n, false);
    if (saved < (sizing.min_improvement ?? -Infinity)) result.append(element('p', {}, `It saves ${percent(saved)} of naive's time, less than the ${percent(sizing.min_improvement)} asked for.`));
    result.append(small('At the expected N', ['', 'value'], [
      ['speed-up over naive', factor(problem.speedup(n))],
      ...(whatIf.timed ? [['mean service time', seconds(problem.secondsOf(n, false))], ['P99', Number.isFinite(p99) ? seconds(p99) : 'no steady state']] : []),
      ...(whatIf.timed && asked.requests_per_s ? [['utilisation', percent(problem.utilisation(n))]] : []),
      ...(problem.hasMemory ? [['memory', bytes(problem.bytesOf(n))]] : []),
    ]));
  }
  if (solution.budgets.length > 1) {
    result.append(small('Each budget alone', ['budget', 'expected N', 'conservative N'], solution.budgets.map((row) => [row.words, count(row.expected), count(row.conservative)])));
  }
  const sized = (value) => countText(value, sizing.known_to ?? kMost), {source} = sizing.models[model];
  result.append(element('p', {class: 'soft'}, `As sized: N = ${sized(sizing.expected_candidates ?? kMost)}` + (sizing.conservative_candidates === null ? '' : ` (conservative ${sized(sizing.conservative_candidates)})`) + '.' +
      (source === 'fitted' || asked.r_factor !== 1 ? '' : ` Times at this L are ${source}.`)));
}

const fieldOf = (id, label, ...inputs) => element('div', {class: 'field'}, element('label', {for: id}, label), ...inputs);
function numberInput(id, value, attributes, changed) {
  const made = element('input', {type: 'number', id, min: '0', step: 'any', inputmode: 'decimal', ...attributes});
  made.value = known(value) ? String(Number(value.toPrecision(6))) : '';
  return listening(made, 'input', () => { if (made.validity.valid) changed(made.value === '' ? null : Number(made.value)); });
}
/// A number with a slider, logarithmic from low to high.
function sliderField(id, label, unit, value, [low, high], changed) {
  const slider = element('input', {type: 'range', id: `${id}-slider`, 'aria-label': `${label}, slider`,
    min: String(Math.log(low)), max: String(Math.log(high)), step: String(Math.log(high / low) / 400)});
  const move = (to) => { slider.value = String(Math.log(Math.max(to, 1e-12))); };
  const say = () => slider.setAttribute('aria-valuetext', `${significant(Math.exp(Number(slider.value)))} ${unit}`);
  const input = numberInput(id, value, {}, (to) => {
    if (to !== null) move(to);
    if (to === null || to > 0) changed(to);
  });
  move(value > 0 ? value : Math.sqrt(low * high));
  say();
  slider.addEventListener('input', () => {
    const to = Number(Math.exp(Number(slider.value)).toPrecision(3));
    input.value = String(to);
    say();
    changed(to);
  });
  return fieldOf(id, `${label}${unit ? `, ${unit}` : ''}`, input, slider);
}
function choiceField(id, label, names, chosen, changed) {
  const select = element('select', {id}, ...names.map((name, i) => element('option', {value: String(i)}, name)));
  select.value = String(chosen);
  return fieldOf(id, label, listening(select, 'change', () => { changed(Number(select.value)); byId(id).focus(); }));
}

/// The marginal r of the report, by the name that it has there.
function rOf({one, sizing}, model) {
  const c = one.report.cases.find((each) => ofCase(each, sizing)), fit = c && Object.hasOwn(c.fits, sizing.scheme) && c.fits[sizing.scheme];
  if (!known(model.speedup_candidate)) {
    const block = known(model.block_s) ? model.block_s / model.block_candidates : 0;
    return {r: (model.candidate_s + block) / model.naive_candidate_s, name: "One more candidate over naive's"};
  }
  const other = fit && modelOf(fit) && modelOf(fit) !== fit.models[0];
  return {r: model.speedup_candidate, name: `${other ? 'Marginal r' : 'r'}, cost of one more candidate`};
}

function makeWhatIf() {
  const place = byId('what-if'), sized = reports.filter((one) => one.report.sizing && one.report.sizing.models.length);
  // Traffic alone has no pass that could be sized.
  place.hidden = !reports.some((one) => one.report.sizing || one.report.cases.length);
  place.append(element('h2', {id: 'what-if-title'}, 'What if: how many candidates?'));
  if (!sized.length) {
    const any = reports.some((one) => one.report.sizing);
    place.append(element('p', {class: 'soft'}, any ? 'At this shape the time of the scheme is no line in N, so this page cannot size it again.'
        : 'This report has no sizing. With one you can change latency, memory, load and r here, and N follows:'));
    if (!any) place.append(element('p', {}, element('code', {}, 'kvcast size DIR --p99 50ms -o sized')));
    return;
  }
  const result = element('div', {'aria-live': 'polite', id: 'what-if-answer'});
  const fields = listening(element('form', {class: 'fields', 'aria-label': 'What if'}), 'submit', (event) => event.preventDefault());
  place.append(element('p', {class: 'soft'}, 'Sizes again in this page. Starts at the budgets of the sizing; an empty field is no limit.'), element('div', {class: 'what-if'}, fields, result));

  function start(one) {
    const {sizing} = one.report;
    const own = Math.max(0, sizing.models.findIndex((model) => model.history_length === sizing.history_length));
    Object.assign(whatIf, {one, sizing, model: own, asked: askedOf(sizing), timed: sizing.points.some((row) => known(row.scheme_s))});
    rebuild();
  }
  function rebuild() {
    const {one, sizing, asked, timed} = whatIf, model = sizing.models[whatIf.model], hasMemory = model.worker_candidates.length > 0;
    const {r, name} = rOf(whatIf, model), mib = 2 ** 20;
    const set = (key, scale = 1, otherwise = null) => (to) => { asked[key] = to === null ? otherwise : to * scale; showWhatIf(result); };
    const around = (value, typical) => [(value || typical) / 30, (value || typical) * 30];
    const limit = (id, label, unit, key, scale, typical) => sliderField(id, label, unit, known(asked[key]) ? asked[key] / scale : null, around(asked[key] / scale, typical), set(key, scale));
    const whole = (id, label, key, min, max) => fieldOf(id, label, numberInput(id, asked[key], {min, max, step: '1'}, set(key, 1, Number(min))));
    fields.replaceChildren(...[
      sized.length > 1 && choiceField('wi-report', 'Report', sized.map((each) => each.label), sized.indexOf(one), (i) => start(sized[i])),
      sizing.models.length > 1 && choiceField('wi-length', 'History length L', sizing.models.map((each) => `${integer(each.history_length)} (${each.source})`), whatIf.model,
          (i) => { whatIf.model = i; asked.r_factor = 1; rebuild(); }),
      timed && limit('wi-p99', 'P99 latency', 'ms', 'p99_s', 1e-3, 1e3 * (model.prefill_s + 50 * model.candidate_s)),
      hasMemory && limit('wi-memory', 'Memory', 'MiB', 'memory_bytes', mib, (model.weights_bytes + 4 * model.worker_bytes[model.worker_bytes.length - 1]) / mib),
      r > 0 && Number.isFinite(r) && sliderField('wi-r', name, '', r * asked.r_factor, [r / 20, Math.max(r, Math.min(1, r * 20))], (to) => {
        if (to !== null) set('r_factor')(Math.abs(to / r - 1) < 1e-5 ? 1 : to / r);
      }),
      timed && fieldOf('wi-rate', 'Requests per second', numberInput('wi-rate', asked.requests_per_s, {}, (to) => set('requests_per_s')(to || null))),
      whole('wi-workers', 'Workers', 'workers', '1', '100000'),
      hasMemory && whole('wi-users', 'Cached users', 'users_cached', '0', '1000000000'),
      element('div', {class: 'buttons'}, listening(element('button', {type: 'button', id: 'wi-reset'}, 'As sized'), 'click', () => { start(one); byId('wi-reset').focus(); })),
    ].filter(Boolean));
    showWhatIf(result);
  }
  start(sized[0]);
}
