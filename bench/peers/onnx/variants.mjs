// Times variants of one pass against each other, interleaved, in one process: what the choice in peer.mjs rests on.
//   node variants.mjs --modules DIR --case FILE --threads T --rounds R naive:plain+gemm user:gqa candidates:aug ...
// Times compare within one run only; on a machine that others use, CPU time tells more than wall time at one thread. The cache of a candidate variant comes from user:VARIANT given just before it.
import {join} from 'node:path';
import {parseArgs} from 'node:util';

import {loadRuntime, makeModels, Passes, readCase, sessionOptions} from './ort.mjs';

const {values, positionals} = parseArgs({
  allowPositionals: true,
  options: {
    modules: {type: 'string'},
    case: {type: 'string'},
    threads: {type: 'string', default: '1'},
    rounds: {type: 'string', default: '5'},
    candidates: {type: 'string', default: '100'},
    profile: {type: 'string'},
  },
});
const ort = loadRuntime(values.modules);
const test = readCase(values.case);
const folder = `${values.case}.onnx`;
makeModels(values.case, folder, positionals);
const items = [];
let user = null;
for (const name of positionals) {
  const [pass, variant] = name.split(':');
  const options = sessionOptions(Number(values.threads));
  if (values.profile) Object.assign(options, {enableProfiling: true, profileFilePrefix: `${values.profile}.${pass}.${variant}`});
  const session = await ort.InferenceSession.create(join(folder, `${pass}.${variant}.onnx`), options);
  if (pass === 'user') user = session;
  const passes = new Passes(ort, test, pass === 'candidates' ? {user, candidates: session} : {[pass]: session});
  const n = Number(values.candidates);
  if (pass === 'candidates') await passes.user();
  const run = {naive: () => passes.naive(1), user: () => passes.user(), candidates: () => passes.candidatePass(n)}[pass];
  await run();
  const first = await run();
  items.push({name, run, session, largest: passes.largest, error: first.error, wall: [], cpu: []});
}
for (let round = 0; round < Number(values.rounds); ++round) {
  for (const item of items) {
    if (item.name.startsWith('candidates')) await item.run();
    const before = process.cpuUsage();
    item.wall.push((await item.run()).seconds * 1e3);
    const {user: busy, system} = process.cpuUsage(before);
    item.cpu.push((busy + system) / 1e3);
  }
}
const quantiles = (all) => {
  const sorted = all.sort((a, b) => a - b);
  const [median, least, most] = [0.5, 0, 1].map((p) => sorted[Math.round(p * (sorted.length - 1))].toFixed(3));
  return `${median.padStart(10)} ${`(${least} .. ${most})`.padEnd(24)}`;
};
console.log(`${''.padEnd(28)} ${'wall, ms'.padStart(10)} ${''.padEnd(24)} ${'CPU, ms'.padStart(10)}`);
for (const item of items) {
  const error = item.error === null ? '' : `relative error ${(item.error / item.largest).toExponential(1)}`;
  console.log(`${item.name.padEnd(28)} ${quantiles(item.wall)} ${quantiles(item.cpu)} ${error}`);
  if (values.profile) item.session.endProfiling();
}
