// A document as elements: sections of tables, texts and notices, whatever they are about.

/// Titles begin with a capital; symbols and types stay as they are.
const titled = (words) => /^[a-z]{2}[a-z ]/.test(words) ? words[0].toUpperCase() + words.slice(1) : words;

/// {title, heads: [{name, right, group}], rows: [[{text, emphasis}]], note}: a table in a box of its own that scrolls.
function tableOf({title, heads, rows, note}) {
  const side = (i, more = '') => `${heads[i].right ? 'n' : ''} ${more}`.trim() || false;
  const groups = element('tr'), names = element('tr');
  for (let i = 0, span; i < heads.length; i += span) {
    span = 1;
    while (heads[i].group && heads[i + span] && heads[i + span].group === heads[i].group) ++span;
    groups.append(heads[i].group ? element('th', {scope: 'colgroup', colspan: span, class: 'group'}, heads[i].group) : element('td'));
  }
  heads.forEach((head, i) => names.append(element('th', {scope: 'col', class: side(i)}, head.name)));
  const body = element('tbody');
  for (const row of rows) {
    const cells = row.map((cell, i) => element('td', {class: side(i, `${cell.text.length > 24 ? 't' : ''} ${cell.emphasis || ''}`)}, cell.text));
    body.append(element('tr', {}, ...cells));
  }
  const head = element('thead', {}, ...(heads.some((one) => one.group) ? [groups, names] : [names]));
  const table = element('table', {}, ...(title ? [element('caption', {}, titled(title))] : []), head, body);
  const box = element('div', {class: 'scroll', tabindex: '0', role: 'region', 'aria-label': title || 'Table'}, table);
  return note ? element('div', {}, box, element('p', {class: 'soft'}, note)) : box;
}

function textOf({label, items, emphasis}) {
  const name = label ? [element('b', {}, label)] : [];
  if (items.length > 1 && items.some((item) => item.length > 80)) {
    return element('div', {class: emphasis || false}, ...name, element('ul', {}, ...items.map((item) => element('li', {}, item))));
  }
  return element('p', {class: emphasis || false}, ...name, (label ? ' ' : '') + items.join(' · '));
}

function noticeOf({level, code, text, advice, count}, prefix = '') {
  const many = count > 1 ? ` (${integer(count)} shapes)` : '';
  const name = prefix + code, more = advice ? ` → ${advice}` : '';
  return element('p', {class: `notice ${level}`}, ...(name ? [element('b', {}, name), ': '] : []), text + many + more);
}

/// Charts are drawn from the report: charts.js.
const kBlocks = {table: tableOf, text: textOf, notice: noticeOf};
function sectionOf({title, details, blocks}) {
  const made = blocks.flatMap((block) => Object.keys(kBlocks).filter((kind) => block[kind]).map((kind) => kBlocks[kind](block[kind])));
  if (!made.length) return '';
  return title ? element('details', {open: !details}, element('summary', {}, element('h3', {}, titled(title))), ...made) : element('div', {}, ...made);
}
/// What is wrong belongs to the top of the page, unless it is a detail.
const atTop = (section) => (block) => Boolean(block.notice) && !section.details;
const noticesOf = ({sections}) => sections.flatMap((section) => section.blocks.filter(atTop(section)).map((block) => block.notice));
const sectionsOf = ({sections}) => sections.map((section) => sectionOf({...section, blocks: section.blocks.filter((block) => !atTop(section)(block))}));
