// Numbers in words, elements and downloads, for the rest of the page. What comes from data becomes text by textContent,
// never markup.

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
/// No more digits than it has.
const plain = (value) => known(value) ? Number(value.toPrecision(6)).toLocaleString('en', {maximumFractionDigits: 6}) : '';
const integer = (value) => known(value) ? Math.round(value).toLocaleString('en') : '-';
const kSeconds = [[1, 's'], [1e-3, 'ms'], [1e-6, 'µs'], [1e-9, 'ns']];
const kBytes = ['EiB', 'PiB', 'TiB', 'GiB', 'MiB', 'KiB', 'B'].map((name, i) => [2 ** (60 - 10 * i), name]);
const scaled = (value, units, format = significant) => {
  if (!known(value)) return '-';
  const [size, name] = units.find((unit) => Math.abs(value) >= unit[0]) || units[units.length - 1];
  return `${format(value / size)} ${name}`;
};
const seconds = (value) => scaled(value, kSeconds);
const bytes = (value, format) => scaled(value, kBytes, format);
const percent = (value) => known(value) ? `${significant(100 * value)}%` : '-';
const factor = (value) => known(value) ? `${significant(value)}x` : '-';

const byId = (id) => document.getElementById(id);
/// Attributes that are false or undefined are left out; strings among the children become text.
function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== false && value !== undefined) made.setAttribute(name, value === true ? '' : value);
  }
  made.append(...children);
  return made;
}
const listening = (made, event, action) => { made.addEventListener(event, action); return made; };

function downloadCsv(name, rows) {
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
