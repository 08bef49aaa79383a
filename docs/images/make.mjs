// The pictures of the README: the page of a sized run and the terminal. Usage: ./dev test-browser first, which installs
// the browser and what drives it; then node docs/images/make.mjs FOLDER, where FOLDER is what kvcast size -o wrote.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const root = resolve(here, '../..');
const { chromium } = createRequire(join(root, 'tests/browser/package.json'))('playwright-core');
const binary = process.env.KVCAST_BIN ?? join(root, 'build/release/kvcast');
const folder = process.argv[2];
if (!folder) throw new Error('usage: node docs/images/make.mjs FOLDER');

const table = execFileSync(binary, ['fit', folder], { encoding: 'utf8' }).split('\n').slice(0, 44).join('\n');
const escaped = table.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
const scratch = mkdtempSync(join(tmpdir(), 'kvcast-images-'));
const browser = await chromium.launch({
  executablePath: '/usr/bin/chromium',
  args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
    '--disable-background-networking', '--disable-component-update', '--disable-sync'],
});
try {
  const page = await browser.newPage({ viewport: { width: 1000, height: 1240 } });
  await page.goto(pathToFileURL(resolve(folder, 'report.html')).href);
  await page.waitForTimeout(500);
  await page.screenshot({ path: join(here, 'page.png') });
  const terminal = join(scratch, 'terminal.html');
  writeFileSync(terminal, `<meta charset="utf-8"><body style="margin:0;background:#16181d;color:#e6e6e6">
    <pre style="display:inline-block;margin:0;padding:16px;font:13px/1.35 'DejaVu Sans Mono',monospace">${escaped}</pre>`);
  await page.goto(pathToFileURL(terminal).href);
  await page.locator('pre').screenshot({ path: join(here, 'terminal.png') });
} finally {
  await browser.close();
  rmSync(scratch, { recursive: true });
}
