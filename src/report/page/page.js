// The page: what stands above the charts, the documents below them, theme, shapes and print.

/// Its name too, where it is called by something else.
const fullName = (one) => !one.title || !one.name || one.label.includes(one.name) ? one.label : `${one.label} (${one.name})`;

function makeTop() {
  const answers = byId('conclusions'), notices = byId('warnings');
  for (const one of reports) {
    if (one.compared) answers.append(element('p', {class: 'conclusion', 'data-compared': true}, `${one.compared}.`));
  }
  for (const one of reports) {
    const {answer, answer_level: level} = one.document;
    const words = answer || 'No fit: too little was measured for a conclusion.';
    answers.append(element('p', {class: `conclusion ${level}`}, words, ...(several ? [element('small', {}, fullName(one))] : [])));
    notices.append(...noticesOf(one.document).map((notice) => noticeOf(notice, prefix(one))));
  }
  byId('subtitle').textContent = several ? reports.map((one) => one.label).join(' and ') : reports.length ? reports[0].subject : '';
  document.title = several ? `kvcast: ${reports.map((one) => one.label).join(', ')}` : 'kvcast report';
  if (!reports.length) return;
  const {version, git_commit: commit, compiler, build_type: build} = reports[0].report.tool;
  byId('made-by').textContent = `kvcast ${version}, commit ${commit}, ${compiler}, ${build}`;
}

function makeTables() {
  for (const one of reports) {
    byId('tables').append(element('h2', {}, several ? `Figures of ${fullName(one)}` : 'Figures'), ...sectionsOf(one.document));
  }
}

function setTheme(dark) {
  document.documentElement.dataset.theme = dark ? 'dark' : 'light';
  byId('theme').textContent = dark ? 'Light' : 'Dark';
  byId('theme').setAttribute('aria-label', `Switch to the ${dark ? 'light' : 'dark'} theme`);
  drawCharts();
}
const prefersDark = matchMedia('(prefers-color-scheme: dark)');
let toggled = false;
byId('theme').addEventListener('click', () => { toggled = true; setTheme(!isDark()); });
prefersDark.addEventListener('change', () => { if (!toggled) setTheme(prefersDark.matches); });

const shapes = [...new Set(reports.flatMap((one) => one.report.cases.map(shapeLabel)))];
if (shapes.length > 1) {
  const select = byId('shape');
  select.append(element('option', {value: ''}, 'the largest'), ...shapes.map((label) => element('option', {value: label}, label)));
  select.addEventListener('change', () => { chosenShape = select.value; drawCharts(); });
  byId('shape-label').hidden = false;
}

/// Charts are drawn and tables laid out at the width of paper, in light colours; all tables are open.
let closed = [];
function print(now) {
  if (printing === now) return;
  printing = now;
  if (now) closed = [...document.querySelectorAll('#tables details:not([open])')];
  for (const one of closed) one.open = now;
  document.documentElement.classList.toggle('printing', now);
  // Only what is wider than paper breaks within words.
  for (const box of document.querySelectorAll('.scroll')) box.classList.toggle('squeezed', now && box.scrollWidth > box.clientWidth);
  drawCharts();
}
addEventListener('beforeprint', () => print(true));
addEventListener('afterprint', () => print(false));

makeTop();
makeWhatIf();
makeTables();
setTheme(prefersDark.matches);

// For the tests of this page.
window.kvcastPage = {charts: () => charts, csvRows, evaluate, modelled, problemOf, solve, askedOf, whatIf, countText};
