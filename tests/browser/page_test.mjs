// The HTML report in a real browser: what it draws, that it asks the network for nothing, that hostile text stays text,
// and that its what-if panel says the N of kvcast size. KVCAST_BIN is the binary; --shots DIR keeps pictures.
import assert from 'node:assert/strict';
import {spawnSync} from 'node:child_process';
import {cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {dirname, join, resolve} from 'node:path';
import {fileURLToPath, pathToFileURL} from 'node:url';
import {chromium} from 'playwright-core';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '../..');
const binary = process.env.KVCAST_BIN || join(root, 'build/release/kvcast');
const shots = process.argv.includes('--shots') ? resolve(process.argv[process.argv.indexOf('--shots') + 1]) : null;
const work = mkdtempSync(join(tmpdir(), 'kvcast-page-'));

const launch = (args) => spawnSync(binary, args, {cwd: work, encoding: 'utf8', timeout: 240000, maxBuffer: 1 << 28});
/// Beside other programs a run may have no figures, and then sizing refuses them: tried again, and given up by name.
function measured(...args) {
  for (let left = 3; left > 0; --left) {
    const done = launch(args);
    if (done.status === 0) return;
    assert.ok(done.status === 4 && /no usable result/i.test(done.stderr), `kvcast ${args.join(' ')}: ${done.status} ${done.stderr}`);
    if (left > 1) continue;
    console.log(`skipped: ${done.stderr.trim()}`);
    process.exit(0);
  }
}
function kvcast(...args) {
  const done = launch(args);
  // 4: no N meets the budgets, or the workers fall behind. The files are there all the same.
  assert.ok(done.status === 0 || (['size', 'simulate'].includes(args[0]) && done.status === 4), `kvcast ${args.join(' ')}: ${done.status} ${done.stderr}`);
  return done.stdout;
}
const json = (folder) => JSON.parse(readFileSync(join(work, folder, 'report.json'), 'utf8'));
const pageOf = (folder) => join(work, folder, 'report.html');

let browser;
/// Opens a file; everything that goes wrong in it is kept in page.faults.
async function open(file, {colorScheme = 'light', width = 1200, height = 900} = {}) {
  const page = await browser.newPage();
  await page.setViewportSize({width, height});
  await page.emulateMedia({colorScheme});
  page.faults = [];
  const url = pathToFileURL(file).href;
  page.on('console', (message) => { if (['error', 'warning'].includes(message.type())) page.faults.push(message.text()); });
  page.on('pageerror', (error) => page.faults.push(String(error)));
  page.on('dialog', (dialog) => { page.faults.push(`dialog ${dialog.message()}`); dialog.dismiss(); });
  page.on('request', (request) => { if (request.url() !== url) page.faults.push(`request ${request.url().slice(0, 200)}`); });
  await page.goto(url);
  await page.waitForFunction(() => window.kvcastPage);
  return page;
}
async function close(page) {
  assert.deepEqual(page.faults, []);
  await page.close();
}
const shot = async (page, name) => { if (shots) await page.screenshot({path: join(shots, `${name}.png`), fullPage: true}); };
const chartIds = (page) => page.evaluate(() => kvcastPage.charts().map((chart) => chart.id));
const labels = (page, id) => page.evaluate((wanted) => kvcastPage.charts().find((chart) => chart.id === wanted).chart.data.datasets.map((set) => set.label), id);
const answer = (page) => page.evaluate(() => ({expected: document.getElementById('expected').textContent, conservative: document.getElementById('conservative').textContent}));
const dataOf = (page) => page.evaluate(() => JSON.parse(document.getElementById('data').textContent));
/// The tables and texts of the document, as the page has them.
async function assertDocument(page, report = 0) {
  const {sections} = (await dataOf(page)).reports[report].document;
  const blocks = (kind) => sections.flatMap((section) => section.blocks.filter((block) => block[kind]).map((block) => block[kind]));
  const shown = await page.$$eval('#tables table', (all) => all.map((one) => [...one.querySelectorAll('tbody tr')].map((row) => [...row.children].map((cell) => cell.textContent))));
  assert.deepEqual(shown, blocks('table').map((table) => table.rows.map((row) => row.map((cell) => cell.text))));
  const names = await page.$$eval('#tables table', (all) => all.map((one) => [...one.querySelectorAll('thead tr:last-child th')].map((head) => head.textContent)));
  assert.deepEqual(names, blocks('table').map((table) => table.heads.map((head) => head.name)));
  const words = await page.evaluate(() => document.getElementById('tables').textContent), notices = await page.textContent('#warnings');
  for (const {items} of blocks('text')) for (const item of items) assert.ok(words.includes(item), item);
  for (const {text, advice} of blocks('notice')) assert.ok([words, notices].some((part) => part.includes(text) && part.includes(advice)), text);
  assert.ok(shown.length > 0);
}
const words = (n, {known_to = null} = {}) => n === null ? 'no limit' : (n === known_to ? 'at least ' : '') + n.toLocaleString('en');

const tests = [];
const test = (name, body) => tests.push([name, body]);

test('every chart has its data', async () => {
  const page = await open(pageOf('sized'));
  // N by L only where an N fits at two lengths, on this machine.
  assert.deepEqual((await chartIds(page)).filter((id) => id !== 'n-length'), ['speedup', 'throughput', 'split', 'p99', 'memory', 'residuals']);
  const report = json('sized'), {ceilings, document} = (await dataOf(page)).reports[0];
  const speedups = report.cases[0].points.filter((point) => point.schemes.shared.speedup);
  const drawn = await page.evaluate(() => kvcastPage.charts().map(({id, chart}) => ({id, sets: chart.data.datasets.map((set) => ({label: set.label, data: set.data}))})));
  const measured = drawn[0].sets.find((set) => set.label === 'shared, measured');
  assert.deepEqual(measured.data.map((point) => [point.x, point.y]), speedups.map((point) => [point.candidates, point.schemes.shared.speedup.value]));
  // One model and its ceiling, or neither: never two values of the same thing.
  const fit = report.cases[0].fits.shared, model = {affine: 'affine', neither: ''}[fit.preferred] ?? ', r = ';
  for (const part of [', r = ', 'affine']) assert.equal(drawn[0].sets.some((set) => !set.label.startsWith('design note') && set.label.includes(part)), part === model, part);
  assert.equal(drawn[0].sets.some((set) => set.label === `shared, ceiling ${ceilings[0].shared}`), model !== '' && fit.asymptote !== null);
  assert.ok(drawn[0].sets.some((set) => set.label === 'design note, r = 0.15'));
  const p99 = Object.fromEntries(drawn.find(({id}) => id === 'p99').sets.map((set) => [set.label, set.data]));
  assertPoints(p99.shared, report.sizing.points.filter((row) => row.p99_s !== null).map((row) => [row.candidates, 1e3 * row.p99_s]), 'P99');
  assert.deepEqual(p99['P99 limit 200 ms'].map((point) => point.y), [200, 200]);
  for (const {id, sets} of drawn) for (const set of sets) assert.ok(set.data.length > 0, `${id} ${set.label}`);
  // Drawn, not only held: no canvas is blank.
  const blank = await page.evaluate(() => [...document.querySelectorAll('canvas')].filter((canvas) => !canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.some((value) => value > 0)).length);
  assert.equal(blank, 0);
  await assertDocument(page);
  assert.equal(await page.textContent('.conclusion'), document.answer);
  const head = await page.textContent('#subtitle');
  for (const part of [report.machine.isa, 'L=64', 'd=64', 'layers=2', report.cases[0].shape.dtype]) assert.ok(head.includes(part), `${part} in ${head}`);
  await shot(page, 'light');
  await close(page);
});

test('the page computes models as kvcast does', async () => {
  const page = await open(pageOf('sized'));
  let checked = 0;
  for (const folder of ['sized', 'lengths', 'fleet']) {
    for (const {fits} of json(folder).cases) {
      for (const fit of Object.values(fits)) {
        const observed = new Map(fit.observed.map((row) => [row.candidates, row.speedup.value]));
        for (const model of fit.models) {
          const counts = model.residuals.filter((row) => row.pct !== null && observed.has(row.candidates));
          const values = await page.evaluate(({model, counts}) => counts.map((n) => kvcastPage.modelled(model, n)), {model, counts: counts.map((row) => row.candidates)});
          counts.forEach((row, i) => assert.ok(Math.abs(100 * (values[i] / observed.get(row.candidates) - 1) - row.pct) < 1e-6 * (1 + Math.abs(row.pct)), `${folder} ${model.model} N=${row.candidates}: ${values[i]}`));
          checked += counts.length;
          if (model.model !== fit.preferred || fit.asymptote === null) continue;
          const [limit, at90] = await page.evaluate((model) => [model.limit, model.for_90].map((formula) => kvcastPage.modelled(model, 0, formula)), model);
          assert.ok(Math.abs(limit / fit.asymptote - 1) < 1e-9, `${folder} ${limit}`);
          if (fit.candidates_for_90 !== null) assert.ok(Math.abs(at90 - fit.candidates_for_90) <= 1, `${folder} ${at90}`);
        }
      }
    }
  }
  assert.ok(checked >= 20, `only ${checked} values`);
  await close(page);
});

test('drops by N and by L, and a choice of shapes', async () => {
  const page = await open(pageOf('grid'));
  const ids = await chartIds(page);
  assert.ok(ids.includes('drop') && ids.includes('drop-length') && ids.includes('r-length'), ids.join());
  const r = await drawnOf(page, 'r-length');
  assert.deepEqual(r.shared.map((point) => [point.x, point.y]), json('grid').cases.filter((one) => one.fits.shared.r).map((one) => [one.shape.history_length, one.fits.shared.r.value]));
  assert.ok((await page.textContent('#what-if')).includes('kvcast size'));
  const options = await page.$$eval('#shape option', (all) => all.map((one) => one.value));
  assert.equal(options.length, 3);
  const before = await page.evaluate(() => JSON.stringify(kvcastPage.charts()[0].chart.data.datasets[0].data));
  await page.selectOption('#shape', options[1]);
  assert.notEqual(await page.evaluate(() => JSON.stringify(kvcastPage.charts()[0].chart.data.datasets[0].data)), before);
  await shot(page, 'grid');
  await close(page);
});

test('charts without data are left out', async () => {
  const page = await open(pageOf('alone'));
  assert.deepEqual(await chartIds(page), ['speedup', 'memory']);
  await close(page);
});

test('the what-if panel says what kvcast size says', async () => {
  const cases = [];
  const csv = join(root, 'docs/examples/fleet.csv');
  for (const p99 of ['20ms', '60ms', '400ms']) {
    for (const load of [[], ['--qps', '20', '--workers', '4'], ['--qps', '300', '--workers', '3'], ['--qps', '11', '--workers', '1']]) cases.push([csv, '--p99', p99, ...load]);
  }
  cases.push([csv, '--qps', '35', '--workers', '2'], [csv, '--p99', '50ms', '--shape', 'smoke', '--memory', '8MiB', '--users-cached', '10']);
  cases.push(['run', '--p99', '50ms'], ['run', '--memory', '64MiB'], ['run', '--p99', '300ms', '--qps', '8', '--workers', '3', '--memory', '1GiB', '--users-cached', '100'],
    ['run', '--qps', '2', '--workers', '2'], ['run', '--memory', '20MiB', '--workers', '2'], ['grid', '-L', '32', '--layers', '2', '--p99', '800ms', '--memory', '32MiB']);
  for (const length of ['32', '64', '128']) for (const p99 of ['1ms', '1.5ms', '2ms']) cases.push(['noisy.csv', '-L', length, '--p99', p99]);
  cases.push(['--r', '0.02', '--naive-candidate', '3ms', '--tail', '1.5', '--p99', '40ms', '--qps', '50', '--workers', '4'], ['--r', '0.1', '--shape', 'smoke', '--memory', '1GiB']);
  let limited = 0;
  for (const [index, args] of cases.entries()) {
    const folder = `size${index}`;
    kvcast('size', ...args, '-q', '-o', folder);
    const {sizing} = json(folder);
    const page = await open(pageOf(folder));
    const wanted = {expected: words(sizing.expected_candidates, sizing), conservative: sizing.models.find((model) => model.history_length === sizing.history_length).half.length ? words(sizing.conservative_candidates, sizing) : 'unknown'};
    assert.deepEqual(await answer(page), wanted, args.join(' '));
    if (sizing.expected_candidates > 0) ++limited;
    await close(page);
  }
  assert.ok(limited >= 10, `only ${limited} cases have an N`);
});

test('between the shapes of a grid the panel follows the surface as kvcast size does', async () => {
  const shape = ['surface.csv', '-L', '48', '--layers', '2', '--extrapolate'];
  kvcast('size', ...shape, '--p99', '50ms', '-q', '-o', 'between');
  const {sizing} = json('between');
  assert.ok(sizing.notes.some((note) => note.includes('from the surface')), sizing.notes.join());
  const own = sizing.models.find((model) => model.history_length === 48);
  const page = await open(pageOf('between'));
  const found = [];
  const expect = async (...args) => {
    kvcast('size', ...shape, ...args, '-q', '--force', '-o', 'again');
    const again = json('again').sizing;
    found.push(again.expected_candidates);
    assert.deepEqual(await answer(page), {expected: words(again.expected_candidates, again), conservative: own.half.length ? words(again.conservative_candidates, again) : 'unknown'}, args.join(' '));
  };
  await expect('--p99', '50ms');
  // Whatever this machine's times are: budgets of a few candidates, of a block, and of many.
  const residuals = sizing.residuals, tail = residuals[Math.ceil(0.99 * residuals.length) - 1];
  const block = own.block_candidates ?? 1;
  let ms;
  for (const n of [3, 40, block - 1, block, block + 1, 2.5 * block, 7 * block]) {
    const mean = own.prefill_s + own.candidate_s * n + (own.block_s ?? 0) * Math.ceil(n / block);
    ms = (1e3 * tail * mean).toPrecision(6);
    await page.fill('#wi-p99', ms);
    await expect('--p99', `${ms}ms`);
  }
  assert.ok(found.at(-1) > 5 * block, `${found} of blocks of ${block}`);
  assert.ok(block > 1, 'no block has a cost, so a line alone would do');
  await page.fill('#wi-rate', '4');
  await page.fill('#wi-workers', '3');
  await expect('--p99', `${ms}ms`, '--qps', '4', '--workers', '3');
  await page.fill('#wi-memory', '4');
  await expect('--p99', `${ms}ms`, '--qps', '4', '--workers', '3', '--memory', '4MiB');
  await close(page);
});

test('changed fields give the N of kvcast size with those values', async () => {
  const csv = join(root, 'docs/examples/fleet.csv');
  const page = await open(pageOf('fleet'));
  const expect = async (...args) => {
    kvcast('size', csv, ...args, '-q', '--force', '-o', 'again');
    const {sizing} = json('again');
    assert.deepEqual(await answer(page), {expected: words(sizing.expected_candidates, sizing), conservative: words(sizing.conservative_candidates, sizing)}, args.join(' '));
  };
  await page.fill('#wi-p99', '35');
  await expect('--p99', '35ms', '--qps', '20', '--workers', '4');
  await page.fill('#wi-rate', '90');
  await expect('--p99', '35ms', '--qps', '90', '--workers', '4');
  await page.fill('#wi-workers', '7');
  await expect('--p99', '35ms', '--qps', '90', '--workers', '7');
  await page.fill('#wi-rate', '');
  await expect('--p99', '35ms');
  await page.fill('#wi-p99', '');
  // Nothing limits N, as far as anything is known: four times the largest measured N.
  assert.equal((await answer(page)).expected, 'at least 2,000');
  await page.click('#wi-reset');
  await expect('--p99', '25ms', '--qps', '20', '--workers', '4');
  await close(page);

  // Another L: the frontier over L has the N of the same budgets.
  for (const [folder, args] of [['lengths', ['grid', '--p99', '800ms']], ['noisy', ['noisy.csv', '-L', '64', '--p99', '1.5ms']]]) {
    if (folder === 'noisy') kvcast('size', ...args, '-q', '-o', folder);
    const {sizing} = json(folder);
    const lengths = await open(pageOf(folder));
    for (const [index, model] of sizing.models.entries()) {
      await lengths.selectOption('#wi-length', String(index));
      const row = sizing.frontiers.find((one) => one.axis === 'history_length' && one.at === model.history_length);
      const wanted = {expected: words(row.expected_candidates, row), conservative: model.half.length ? words(row.conservative_candidates, row) : 'unknown'};
      assert.deepEqual(await answer(lengths), wanted, `${folder} L=${model.history_length}`);
    }
    const chart = await drawnOf(lengths, 'n-length');
    const rows = sizing.frontiers.filter((one) => one.axis === 'history_length' && one.expected_candidates > 0);
    assert.deepEqual(chart['expected N'].map((point) => [point.x, point.y]), rows.map((row) => [row.at, row.expected_candidates]));
    await close(lengths);
  }
});

test('sliders move the recommendation, by keyboard too', async () => {
  const page = await open(pageOf('fleet'));
  const expected = async () => Number((await answer(page)).expected.replace(/\D/g, ''));
  const start = await expected();
  await page.focus('#wi-p99-slider');
  for (let i = 0; i < 40; ++i) await page.keyboard.press('ArrowRight');
  const longer = await expected();
  assert.ok(longer > start, `${longer} after ${start}`);
  await page.focus('#wi-r-slider');
  for (let i = 0; i < 40; ++i) await page.keyboard.press('ArrowRight');
  assert.ok(await expected() < longer);
  await page.click('#wi-reset');
  assert.equal(await expected(), start);
  // Every control has a name, and the first Tab reaches the link over the head.
  const nameless = await page.$$eval('input, select, button, summary', (all) => all.filter((one) => !(one.getAttribute('aria-label') || one.textContent.trim() || (one.labels && one.labels.length))).length);
  assert.equal(nameless, 0);
  await page.evaluate(() => document.activeElement.blur());
  const hidden = page.locator('.legend button').first();
  await hidden.focus();
  await page.keyboard.press('Enter');
  assert.equal(await hidden.getAttribute('aria-pressed'), 'false');
  assert.equal(await page.evaluate(() => kvcastPage.charts()[0].chart.isDatasetVisible(0)), false);
  await close(page);
});

test('a chart downloads as CSV', async () => {
  const page = await open(pageOf('sized'));
  const [download] = await Promise.all([page.waitForEvent('download'), page.click('[data-chart="throughput"] figcaption button')]);
  assert.equal(download.suggestedFilename(), 'kvcast-throughput.csv');
  const lines = readFileSync(await download.path(), 'utf8').trim().split('\n');
  assert.equal(lines[0], 'series,candidates N,candidates/s,low,high');
  const rows = json('sized').cases[0].points.flatMap((point) => Object.values(point.schemes)).filter((row) => row.candidates_per_s !== null);
  assert.equal(lines.length - 1, rows.length);
  page.faults = page.faults.filter((fault) => !fault.startsWith('request blob:'));  // of the page itself
  await close(page);
});

test('dark: by preference, and by the button', async () => {
  const back = (page) => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const page = await open(pageOf('sized'), {colorScheme: 'dark'});
  const dark = await back(page);
  assert.equal(await page.textContent('#theme'), 'Light');
  await shot(page, 'dark');
  await page.click('#theme');
  const light = await back(page);
  assert.equal(await page.textContent('#theme'), 'Dark');
  assert.notEqual(light, dark);
  await close(page);
  const other = await open(pageOf('sized'));
  assert.equal(await back(other), light);
  await close(other);
});

/// What is wider than its figure, or than the page; a box that scrolls may hold more.
const sticksOut = (page) => page.evaluate(() => [...document.querySelectorAll('figure *, #tables *, header *, .conclusion, .notice')]
  .filter((one) => !one.closest('.skip') && !(one.closest('.scroll') && getComputedStyle(one.closest('.scroll')).overflowX === 'auto' && one !== one.closest('.scroll')))
  .filter((one) => one.getBoundingClientRect().right > (one.closest('figure') || document.documentElement).getBoundingClientRect().right + 1)
  .map((one) => `${one.tagName} ${one.textContent.slice(0, 40)}`));

test('nothing sticks out, on a phone or a small screen', async () => {
  for (const folder of ['sized', 'grid', 'both', 'hostile', 'traffic', 'fleets', 'hostile-traffic']) {
    for (const width of [360, 390, 1280]) {
      const page = await open(pageOf(folder), {width, height: 740});
      await page.$$eval('details', (all) => all.forEach((one) => { one.open = true; }));
      const whole = await page.evaluate(() => document.documentElement.scrollWidth);
      assert.ok(whole <= width, `${folder}: ${whole} px at ${width}`);
      assert.deepEqual(await sticksOut(page), [], `${folder} at ${width}`);
      if (width === 390 && ['sized', 'traffic'].includes(folder)) await shot(page, `${folder}-phone`);
      await close(page);
    }
  }
});

test('print opens the tables and stays light', async () => {
  const page = await open(pageOf('sized'), {colorScheme: 'dark'});
  await page.evaluate(() => dispatchEvent(new Event('beforeprint')));
  assert.equal(await page.$$eval('#tables details:not([open])', (all) => all.length), 0);
  await page.emulateMedia({media: 'print', colorScheme: 'dark'});
  assert.equal(await page.evaluate(() => getComputedStyle(document.body).backgroundColor), 'rgb(255, 255, 255)');
  // A4 within its margins.
  await page.setViewportSize({width: 680, height: 900});
  assert.deepEqual(await sticksOut(page), []);
  await shot(page, 'print');
  if (shots) await page.pdf({path: join(shots, 'print.pdf')});
  await page.evaluate(() => dispatchEvent(new Event('afterprint')));
  assert.ok(await page.$$eval('#tables details:not([open])', (all) => all.length) > 0);
  await close(page);
});

test('hostile names stay text', async () => {
  const page = await open(pageOf('hostile'));
  assert.equal(await page.evaluate(() => window.owned), undefined);
  assert.equal(await page.$$eval('img, iframe, b script', (all) => all.length), 0);
  assert.equal(await page.$$eval('script', (all) => all.length), 3);
  assert.ok((await page.textContent('#subtitle')).includes('</script><script>'));
  assert.ok((await labels(page, 'speedup')).some((label) => label.includes('</script>')));
  await close(page);
});

/// A report with `text` in place of every text that is taken as it comes, and in front of every scheme's name.
function spoilt(value, text, name = '', inConfig = false) {
  // Texts of a closed set are refused where they are read.
  const closed = ['schema', 'status', 'execution', 'stopped_by', 'order', 'what'].includes(name) || name.endsWith('source');
  if (typeof value === 'string') return closed || (inConfig && !['comment', 'import'].includes(name)) ? value : text;
  if (Array.isArray(value)) return value.map((item) => spoilt(item, text, name, inConfig));
  if (value === null || typeof value !== 'object') return value;
  const named = ['schemes', 'fits', 'dependencies'].includes(name);
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [named ? text + key : key, spoilt(item, text, key, inConfig || key === 'config')]));
}

test('hostile text in every text of a report stays text', async () => {
  const golden = readFileSync(join(root, 'tests/golden/approved/fixed.json.txt'), 'utf8');
  const owned = 'window.owned=1;alert(1)';
  const texts = [`</script><script>${owned}</script>`, `</style></title><img src=x onerror="${owned}"><svg onload="${owned}">`, `<!--<script>${owned}//--><iframe src="javascript:${owned}">`,
    `";${owned}//\';${owned}//\${${owned}}`, `javascript:${owned}`, '\u2028\u2029\u202e\u2066\ufeff\u0000\u0001\u001b[31m', '=HYPERLINK("http://x.example")', 'x'.repeat(40000)];
  // Names that every JavaScript object has, as schemes.
  const pages = [...texts.map((text) => JSON.stringify(spoilt(JSON.parse(golden), text))), ...['__proto__', 'constructor', 'toString'].map((name) => golden.replace(/"shared"(?=:)|(?<="scheme": )"shared"/g, `"${name}"`))];
  for (const [index, content] of pages.entries()) {
    const folder = `spoilt${index}`;
    mkdirSync(join(work, folder));
    writeFileSync(join(work, folder, 'report.json'), content);
    kvcast('report', folder, '--to', 'html', '-q');
    const page = await open(pageOf(folder));
    await page.$$eval('details', (all) => all.forEach((one) => { one.open = true; }));
    assert.equal(await page.evaluate(() => window.owned), undefined);
    assert.equal(await page.$$eval('img, iframe, svg, object, embed, a[href]:not([href^="#"])', (all) => all.length), 0);
    assert.equal(await page.$$eval('script', (all) => all.length), 3);
    assert.ok((await chartIds(page)).length > 0);
    await close(page);
  }
});

test('a script, style or picture that is not the page\'s own does nothing', async () => {
  const file = join(work, 'tampered.html');
  const own = readFileSync(pageOf('sized'), 'utf8');
  writeFileSync(file, own.replace('</body>', '<script>window.owned=1</script><img src="http://127.0.0.1:9/x.png" onerror="window.owned=1"><style>body{opacity:0.5}</style><script src="http://127.0.0.1:9/x.js"></script></body>'));
  const page = await open(file);
  assert.equal(await page.evaluate(() => window.owned), undefined);
  assert.equal(await page.evaluate(() => getComputedStyle(document.body).opacity), '1');
  assert.ok((await chartIds(page)).length > 0);
  assert.ok(page.faults.length >= 4 && page.faults.every((fault) => fault.includes('Content Security Policy') || fault.startsWith('request http://127.0.0.1:9/')), page.faults.join('\n'));
  page.faults = [];
  await close(page);
});

test('two reports on one page', async () => {
  const page = await open(pageOf('both'));
  const names = await labels(page, 'speedup');
  assert.ok(names.includes('sized: shared, measured') && names.includes('fleet: shared, measured'), names.join());
  assert.equal(await page.$$eval('.conclusion', (all) => all.length), 2);
  const options = await page.$$eval('#wi-report option', (all) => all.map((one) => one.textContent));
  assert.deepEqual(options, ['sized', 'fleet']);
  await page.selectOption('#wi-report', '1');
  assert.equal((await answer(page)).expected, words(json('fleet').sizing.expected_candidates, json('fleet').sizing));
  await shot(page, 'both');
  await close(page);
});

test('two reports are called by what differs, which is said on top', async () => {
  const page = await open(pageOf('types'));
  const names = await labels(page, 'speedup');
  assert.ok(names.includes('fp32: shared, measured') && names.includes('bf16: shared, measured'), names.join());
  assert.match(await page.textContent('[data-compared]'), /^bf16 is 1\.\d+x faster at N=50 \[1\.\d+, 1\.\d+\] than fp32, scheme shared\.$/);
  const figures = await page.$$eval('#tables > h2', (all) => all.map((one) => one.textContent));
  assert.deepEqual(figures, ['Figures of fp32 (fp32-run)', 'Figures of bf16 (bf16-run)']);
  await shot(page, 'types');
  await close(page);
});

test('what the machine does not have stands under the answer', async () => {
  const page = await open(pageOf('crowded'));
  const notices = await page.$$eval('#warnings .notice', (all) => all.map((one) => one.textContent));
  assert.ok(notices.some((text) => /^400 workers of 2 threads need more than the \d+ CPUs? of the measured machine/.test(text)), notices.join());
  await close(page);
});

const kTrafficCharts = ['latency', 'hit-rate', 'capacity', 'utilisation', 'rate-time', 'p99-time', 'queue-time', 'hits-time'];
const drawnOf = (page, id) => page.evaluate((wanted) => {
  const {chart} = kvcastPage.charts().find((one) => one.id === wanted);
  return Object.fromEntries(chart.data.datasets.map((set) => [set.label, set.data]));
}, id);
const close9 = (a, b) => Math.abs(a - b) <= 1e-9 * Math.max(Math.abs(a), Math.abs(b), 1);
/// Points are those of rows, in order.
function assertPoints(data, rows, message) {
  assert.equal(data.length, rows.length, message);
  data.forEach((point, i) => assert.ok(close9(point.x, rows[i][0]) && close9('value' in point ? point.value : point.y, rows[i][1]), `${message} ${i}: ${JSON.stringify(point)} is not ${rows[i]}`));
}

test('traffic alone: every chart has its data', async () => {
  const page = await open(pageOf('traffic'));
  const {traffic} = json('traffic');
  assert.deepEqual(await chartIds(page), kTrafficCharts);
  assert.ok((await page.textContent('.conclusion')).toLowerCase().startsWith(traffic.answer.toLowerCase()));
  assert.equal(await page.isVisible('#what-if'), false);
  assert.ok((await page.textContent('#subtitle')).includes('20,000 requests'));

  const latency = await drawnOf(page, 'latency');
  assertPoints(latency.requests, traffic.cdf.filter((point) => point.share < 1).map((point) => [1e3 * point.seconds, 100 * point.share]), 'cdf');
  assert.deepEqual(latency['P99 limit 50.0 ms'].map((point) => point.x), [50, 50]);
  const hits = await drawnOf(page, 'hit-rate');
  for (const [label, key] of [['LRU', 'lru'], ['LRU by Che', 'che'], ['Belady', 'belady'], ['bound of any policy', 'bound']]) {
    assertPoints(hits[label], traffic.hit_rates.map((row) => [row.cache_bytes, 100 * row[key]]), key);
  }
  assert.deepEqual(hits['cache in use, 1.00 GiB'].map((point) => point.x), [2 ** 30, 2 ** 30]);
  const capacity = await drawnOf(page, 'capacity');
  const steady = traffic.capacity.filter((row) => !row.saturated && row.p99_s), over = traffic.capacity.filter((row) => row.saturated);
  assert.ok(steady.length >= 3 && over.length >= 1);
  assertPoints(capacity.P99, steady.map((row) => [row.requests_per_s, 1e3 * row.p99_s.value]), 'P99');
  capacity.P99.forEach((point, i) => assert.ok(close9(point.lo, 1e3 * steady[i].p99_s.ci95[0]) && close9(point.hi, 1e3 * steady[i].p99_s.ci95[1])));
  assert.deepEqual(capacity['saturated: no steady P99'].map((point) => [point.x, point.value]), over.map((row) => [row.requests_per_s, null]));
  assertPoints((await drawnOf(page, 'utilisation')).utilisation, traffic.capacity.map((row) => [row.requests_per_s, 100 * row.utilisation]), 'utilisation');
  for (const [id, label, key, scale] of [['rate-time', 'arrive', 'arrivals_per_s', 1], ['rate-time', 'answered', 'completions_per_s', 1], ['p99-time', 'P99', 'p99_s', 1e3], ['queue-time', 'waiting', 'queue', 1], ['hits-time', 'hits', 'hit_rate', 100]]) {
    assertPoints((await drawnOf(page, id))[label], traffic.windows.filter((row) => row[key] !== null).map((row) => [row.start_s, scale * row[key]]), key);
  }
  const blank = await page.evaluate(() => [...document.querySelectorAll('canvas')].filter((canvas) => !canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.some((value) => value > 0)).length);
  assert.equal(blank, 0);
  await assertDocument(page);
  // No raw names of members, and shares as percentages.
  for (const raw of ['littles ratio', 'littles_ratio', 'p99 s', 'p99_s']) assert.ok(!(await page.textContent('#tables')).includes(raw), raw);
  await shot(page, 'traffic');
  await page.click('#theme');
  await shot(page, 'traffic-dark');
  await close(page);
});

test('a latency curve downloads as percentages', async () => {
  const page = await open(pageOf('traffic'));
  const [download] = await Promise.all([page.waitForEvent('download'), page.click('[data-chart="latency"] figcaption button')]);
  assert.equal(download.suggestedFilename(), 'kvcast-latency.csv');
  const rows = readFileSync(await download.path(), 'utf8').trim().split('\n').map((row) => row.split(','));
  const wanted = json('traffic').traffic.cdf.filter((point) => point.share < 1);
  const own = rows.filter((row) => row[0] === 'requests');
  assert.equal(own.length, wanted.length);
  own.forEach((row, i) => assert.ok(close9(Number(row[1]), 1e3 * wanted[i].seconds) && close9(Number(row[2]), 100 * wanted[i].share), row.join()));
  page.faults = page.faults.filter((fault) => !fault.startsWith('request blob:'));  // of the page itself
  await close(page);
});

test('a saturated fleet says so', async () => {
  const page = await open(pageOf('saturated'));
  assert.equal(json('saturated').traffic.saturated, true);
  assert.match(await page.textContent('.conclusion'), /no steady state/i);
  assert.ok((await page.textContent('main')).includes(json('saturated').traffic.saturation));
  await shot(page, 'traffic-saturated');
  await close(page);
});

test('a replay with hostile names: text stays text, disturbed windows are marked', async () => {
  const page = await open(pageOf('hostile-traffic'));
  assert.equal(await page.evaluate(() => window.owned), undefined);
  assert.equal(await page.$$eval('img, iframe, b script', (all) => all.length), 0);
  assert.equal(await page.$$eval('script', (all) => all.length), 3);
  assert.ok((await page.textContent('#subtitle')).includes('</script><script>'));
  const {windows} = json('hostile-traffic').traffic;
  const marked = (await drawnOf(page, 'p99-time'))['machine disturbed'];
  assert.deepEqual(marked.map((point) => point.x), windows.filter((row) => !row.clean).map((row) => row.start_s));
  await assertDocument(page);
  const rows = await page.$$eval('#tables table', (all) => all.filter((one) => one.textContent.includes('simulated')).flatMap((one) => [...one.querySelectorAll('tbody tr')].map((row) => row.textContent)));
  assert.equal(rows.filter((row) => row.includes('outside')).length, 1);
  assert.ok(rows.some((row) => row.includes('45.0 ms') && row.includes('57.5 ms') && row.includes('outside')), rows.join());
  await shot(page, 'traffic-replay');
  await close(page);
});

test('fleets overlay, and a run with traffic has the charts of both', async () => {
  const page = await open(pageOf('fleets'));
  assert.deepEqual(await chartIds(page), kTrafficCharts);
  for (const [id, series] of [['latency', 'requests'], ['hit-rate', 'LRU'], ['capacity', 'P99']]) {
    const names = await labels(page, id);
    for (const fleet of ['traffic', 'two']) assert.ok(names.includes(`${fleet}: ${series}`), names.join());
  }
  assert.equal(await page.$$eval('.conclusion', (all) => all.length), 2);
  await shot(page, 'fleets');
  await close(page);
  const mixed = await open(pageOf('mixed'));
  const ids = await chartIds(mixed);
  assert.ok(ids.includes('speedup') && ids.includes('latency') && await mixed.isVisible('#what-if'), ids.join());
  await close(mixed);
});

/// Samples of one shape in a type, `factor` times as fast as fp32.
function plantedType(dtype, factor) {
  const head = 'history_length,dim,heads,kv_heads,layers,ffn_factor,token_merge,query_tokens,candidate_from_layer,dtype,kv_dtype,threads,mask,trim,' +
      'head_width,head_layers,candidates,scheme,round,status,measured_seconds,measured_candidates,prefill_s,scoring_s,canary_ratio,canary_gflops';
  const rows = [head];
  for (const n of [1, 5, 50]) {
    for (let round = 0; round < 8; ++round) {
      const unit = (1 + 0.01 * Math.sin(5 * round + n)) / factor;
      const shape = `64,32,2,2,2,4,1,,0,${dtype},${dtype},2,causal,true,,2,${n}`;
      rows.push(`${shape},naive,${round},measured,${unit * n * 1e-3},${n},,,1,50`, `${shape},shared,${round},measured,${unit * (1e-3 + 1e-4 * n)},${n},${unit * 1e-3},${unit * 1e-4 * n},1,50`);
    }
  }
  return rows.join('\n') + '\n';
}

/// Samples of a grid whose scoring pass costs something however few candidates there are.
function plantedGrid() {
  const head = 'history_length,dim,heads,kv_heads,layers,ffn_factor,token_merge,query_tokens,candidate_from_layer,dtype,kv_dtype,threads,mask,trim,' +
      'head_width,head_layers,candidates,scheme,round,status,measured_seconds,measured_candidates,prefill_s,scoring_s,canary_ratio,canary_gflops';
  const rows = [head];
  for (const length of [32, 64]) {
    for (const layers of [1, 2]) {
      for (const n of [1, 4, 16]) {
        for (let round = 0; round < 12; ++round) {
          const noise = 1 + 0.02 * Math.sin(7 * round + 3 * n + length + layers);
          const shape = `${length},32,2,2,${layers},4,1,,0,fp32,fp32,2,causal,true,,2,${n}`;
          const user = noise * layers * (1e-4 + 2e-6 * length);
          const whole = user + noise * layers * (3e-5 + n * (1e-6 + 1e-8 * length));
          rows.push(`${shape},naive,${round},measured,${n * user},${n},,,1,50`, `${shape},shared,${round},measured,${whole},${n},${user},${whole - user},1,50`);
        }
      }
    }
  }
  return rows.join('\n') + '\n';
}

/// Samples of three lengths in which noise makes a measured time shorter than the constant of the line through all of them.
function plantedLengths() {
  const head = 'history_length,dim,heads,kv_heads,layers,ffn_factor,token_merge,query_tokens,candidate_from_layer,dtype,kv_dtype,threads,mask,trim,' +
      'head_width,head_layers,candidates,scheme,round,status,measured_seconds,measured_candidates,prefill_s,scoring_s,canary_ratio,canary_gflops';
  const rows = [head];
  for (const length of [32, 64, 128]) {
    for (const n of [1, 5, 10, 50, 100]) {
      for (let round = 0; round < 12; ++round) {
        const noise = (1 + 0.05 * Math.sin(7 * round + 3 * n + length)) * (n === 5 ? 0.9 : 1);
        const shape = `${length},32,2,2,2,4,1,,0,fp32,fp32,2,causal,true,,2,${n}`;
        const user = noise * 2 * (1e-4 + 2e-6 * length), whole = user + noise * 2 * (3e-5 + n * (1e-6 + 1e-8 * length));
        rows.push(`${shape},naive,${round},measured,${n * user},${n},,,1,50`, `${shape},shared,${round},measured,${whole},${n},${user},${whole - user},1,50`);
      }
    }
  }
  return rows.join('\n') + '\n';
}

function prepare() {
  measured('run', '-L', '64', '-d', '64', '--heads', '2', '--layers', '2', '-N', '1,5,10,50,100', '--budget', '12s', '-q', '--force', '-o', 'run');
  measured('run', '-L', '32,64', '-d', '32', '--heads', '2', '--layers', '2', '-N', '1,4,16', '--head-width', '64', '--budget', '12s', '-q', '--force', '-o', 'grid');
  writeFileSync(join(work, 'surface.csv'), plantedGrid());
  writeFileSync(join(work, 'noisy.csv'), plantedLengths());
  kvcast('size', 'grid', '--p99', '800ms', '-q', '-o', 'lengths');
  kvcast('size', 'run', '--p99', '200ms', '--memory', '64MiB', '-q', '-o', 'sized');
  kvcast('size', join(root, 'docs/examples/fleet.csv'), '--p99', '25ms', '--qps', '20', '--workers', '4', '-q', '-o', 'fleet');
  kvcast('size', '--r', '0.15', '--shape', 'smoke', '-q', '-o', 'alone');
  kvcast('report', 'sized', 'fleet', '--to', 'html', '-q', '-o', 'both');
  for (const [dtype, factor] of [['fp32', 1], ['bf16', 1.8]]) {
    writeFileSync(join(work, `${dtype}.csv`), plantedType(dtype, factor));
    kvcast('fit', `${dtype}.csv`, '-q', '-o', `${dtype}-run`);
  }
  kvcast('report', 'fp32-run', 'bf16-run', '--to', 'html', '-q', '-o', 'types');
  kvcast('size', 'run', '--p99', '10s', '--workers', '400', '-q', '-o', 'crowded');

  const fleet = ['--token-time', '5us', '--candidate-time', '50us', '--token-bytes', '8KiB', '--history', 'lognormal:300,2000', '--candidates', '100', '--max-history', '4000', '--p99', '50ms', '--requests', '20000', '-q'];
  kvcast('simulate', ...fleet, '--qps', '200', '--workers', '4', '--cache', '1GiB', '-o', 'traffic');
  kvcast('simulate', ...fleet, '--qps', '200', '--workers', '2', '--cache', '256MiB', '-o', 'two');
  kvcast('simulate', ...fleet, '--qps', '900', '--workers', '4', '--cache', '1GiB', '-o', 'saturated');
  kvcast('report', 'traffic', 'two', '--to', 'html', '-q', '-o', 'fleets');
  kvcast('report', 'sized', 'traffic', '--to', 'html', '-q', '-o', 'mixed');

  cpSync(join(work, 'sized'), join(work, 'hostile'), {recursive: true});
  rmSync(pageOf('hostile'));
  const bad = '</script><script>window.owned=1;alert(1)</script><img src=x onerror="window.owned=1"><!--<script>';
  const report = json('sized');
  report.machine.cpu_model = bad;
  report.warnings.push({code: bad, text: bad, advice: bad});
  const [one] = report.cases;
  one.fits[bad] = one.fits.shared;
  delete one.fits.shared;
  for (const point of one.points) {
    point.schemes[bad] = point.schemes.shared;
    delete point.schemes.shared;
  }
  report.sizing.scheme = bad;
  report.sizing.notes.push(bad);
  writeFileSync(join(work, 'hostile/report.json'), JSON.stringify(report));
  kvcast('report', 'hostile', '--to', 'html', '-q');

  // What a replay adds is planted: the real one would measure.
  cpSync(join(work, 'traffic'), join(work, 'hostile-traffic'), {recursive: true});
  rmSync(pageOf('hostile-traffic'));
  const replayed = json('traffic'), {traffic} = replayed;
  traffic.workload = bad;
  traffic.costs.basis = bad;
  traffic.assumptions.push(bad);
  for (const [at, ratio] of [[3, 0.5], [4, 0.625], [20, 0.75]]) Object.assign(traffic.windows[at], {clean: false, canary_ratio: ratio});
  const row = (name, unit, replayed, simulated, error_pct, tolerance_pct, within) => ({name, unit, replayed, simulated, error_pct, tolerance_pct, within});
  traffic.replay = [row('throughput', '1/s', 199.5, 200.2, 0.376, 5, true), row('p99_s', 's', 0.045, 0.0575, 27.78, 20, false), row('hit_rate', '0..1', 0.625, 0.625, 0, null, true)];
  writeFileSync(join(work, 'hostile-traffic/report.json'), JSON.stringify(replayed));
  kvcast('report', 'hostile-traffic', '--to', 'html', '-q');
}

let failed = 0;
try {
  if (shots) mkdirSync(shots, {recursive: true});
  prepare();
  browser = await chromium.launchPersistentContext(join(work, 'profile'), {
    executablePath: process.env.CHROMIUM || '/usr/bin/chromium', headless: true, acceptDownloads: true,
    args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
  });
  for (const [name, body] of tests) {
    try {
      await body();
      console.log(`ok      ${name}`);
    } catch (error) {
      ++failed;
      console.log(`FAILED  ${name}\n${error.stack}`);
    }
  }
} finally {
  if (browser) await browser.close();
  rmSync(work, {recursive: true, force: true});
}
console.log(failed ? `${failed} of ${tests.length} failed` : `${tests.length} tests passed`);
process.exitCode = failed ? 1 : 0;
