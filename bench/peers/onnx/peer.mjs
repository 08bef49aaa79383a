// ONNX Runtime as a peer process: ../README.md has the protocol.
//   node peer.mjs --modules DIR --case FILE.safetensors --threads T [--naive V] [--user V] [--candidates V]
import {join} from 'node:path';
import {createInterface} from 'node:readline';
import {parseArgs} from 'node:util';

import {loadRuntime, makeModels, Passes, readCase, sessionOptions} from './ort.mjs';

/** The fastest variants of make_model.py that were found (README.md has the numbers); by the rows of the history. */
function best(length) {
  const causal = length < 512 ? 'att' : 'gqa256+split';
  return {naive: causal, user: `${causal}+cacheaug`, candidates: 'aug+split'};
}

const {values} = parseArgs({
  options: {
    modules: {type: 'string'},
    case: {type: 'string'},
    threads: {type: 'string', default: '1'},
    naive: {type: 'string'},
    user: {type: 'string'},
    candidates: {type: 'string'},
  },
});
const threads = Number(values.threads);
if (!values.modules || !values.case || !Number.isInteger(threads) || threads < 1) {
  console.error('usage: peer.mjs --modules DIR --case FILE.safetensors --threads T');
  process.exit(2);
}

const say = (object) => process.stdout.write(`${JSON.stringify(object)}\n`);

async function load() {
  const ort = loadRuntime(values.modules);
  const test = readCase(values.case);
  const chosen = best(test.tensor('history').shape[0]);
  for (const pass of Object.keys(chosen)) chosen[pass] = values[pass] ?? chosen[pass];
  const folder = `${values.case}.onnx`;
  makeModels(values.case, folder, Object.entries(chosen).map((pair) => pair.join(':')));
  const sessions = {};
  for (const [pass, variant] of Object.entries(chosen)) {
    const file = join(folder, `${pass}.${variant}.onnx`);
    sessions[pass] = await ort.InferenceSession.create(file, sessionOptions(threads));
  }
  const passes = new Passes(ort, test, sessions);
  await passes.warm('user');
  await passes.warm('naive');
  say({
    ready: true,
    peer: `onnxruntime ${ort.env.versions.node}`,
    variant: Object.entries(chosen).map((pair) => pair.join(' ')).join(', '),
    threads,
  });
  return passes;
}

async function answer(passes, line) {
  const [, what, count] = /^(naive|shared|candidates) ([1-9][0-9]{0,6})$/.exec(line) ?? /^(user)$/.exec(line) ?? [];
  if (!what) return {error: `not understood: ${line}`};
  const n = Number(count);
  if (what === 'shared' || what === 'candidates') await passes.warm('candidates', n);
  const before = process.cpuUsage();
  const run = {
    naive: () => passes.naive(n),
    shared: () => passes.shared(n),
    user: () => passes.user(),
    candidates: () => passes.candidatePass(n),
  }[what];
  const {seconds, error} = await run();
  const {user, system} = process.cpuUsage(before);
  return {
    seconds,
    // Of the whole request, comparing included.
    cpu_seconds: (user + system) / 1e6,
    max_abs_error: error,
    max_rel_error: error === null ? null : error / passes.largest,
  };
}

try {
  const passes = await load();
  for await (const line of createInterface({input: process.stdin})) {
    if (line === 'quit') break;
    say(await answer(passes, line));
  }
  process.exit(0);
} catch (error) {
  console.error(`onnx peer: ${error.message}`);
  process.exit(3);
}
