// One exported case in ONNX Runtime: reading it, building its graphs, running a pass.
import {execFileSync} from 'node:child_process';
import {existsSync, readFileSync, statSync} from 'node:fs';
import {createRequire} from 'node:module';
import {dirname, join, resolve} from 'node:path';
import {fileURLToPath} from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));

/** onnxruntime-node out of `folder`/node_modules: it is installed in the build folder, never beside this file. */
export function loadRuntime(folder) {
  return createRequire(join(resolve(folder), 'package.json'))('onnxruntime-node');
}

/** The tensors of a safetensors file as {shape, data}, and the effective configuration of `kvcast verify --export`. */
export function readCase(path) {
  const bytes = readFileSync(path);
  const size = Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.toString('utf8', 8, 8 + size));
  const config = JSON.parse(header.__metadata__['kvcast.config']);
  const tensor = (name) => {
    const entry = header[name];
    if (!entry) return null;
    const [first, last] = entry.data_offsets;
    // A copy, because views need an offset that is a multiple of the element.
    const part = bytes.buffer.slice(bytes.byteOffset + 8 + size + first, bytes.byteOffset + 8 + size + last);
    const kind = {F32: Float32Array, F64: Float64Array}[entry.dtype];
    if (!kind) throw new Error(`${name} is ${entry.dtype}; the peers compute fp32 only`);
    return {shape: entry.shape, data: new kind(part)};
  };
  return {path, config, tensor};
}

/** Writes the graphs named 'pass:variant' that are missing or older than what they are made from. */
export function makeModels(casePath, folder, wanted) {
  const script = join(here, 'make_model.py');
  const age = (path) => (existsSync(path) ? statSync(path).mtimeMs : -1);
  const oldest = Math.max(age(casePath), age(script));
  const missing = wanted.filter((w) => age(join(folder, `${w.replace(':', '.')}.onnx`)) <= oldest);
  if (missing.length > 0) {
    // Debian's python3-onnx belongs to Debian's interpreter, which need not be the first on the path.
    const python = existsSync('/usr/bin/python3') ? '/usr/bin/python3' : 'python3';
    execFileSync(python, [script, casePath, folder, ...missing], {stdio: ['ignore', 2, 2]});
  }
}

export function sessionOptions(threads, extra = {}) {
  return {
    executionProviders: ['cpu'],
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    executionMode: 'sequential',
    graphOptimizationLevel: 'all',
    // Threads may spin inside a run and not after it: another engine is timed in between.
    extra: {'session.force_spinning_stop': '1', ...extra},
  };
}

/** The passes of one case over sessions {naive, user, candidates}; each may be missing. */
export class Passes {
  constructor(ort, test, sessions) {
    this.ort = ort;
    this.sessions = sessions;
    const history = test.tensor('history');
    [this.length, this.dim] = history.shape;
    this.heads = test.config.model.heads;
    this.layers = test.config.model.layers;
    this.history = new ort.Tensor('float32', history.data, history.shape);
    this.candidates = test.tensor('candidates').data;
    this.count = this.candidates.length / this.dim;
    const reference = test.tensor('outputs.reference') ?? test.tensor('outputs.naive');
    if (!reference) throw new Error(`${test.path} has no outputs to compare with`);
    this.reference = reference.data;
    this.largest = this.reference.reduce((m, v) => Math.max(m, Math.abs(v)), 0);
    const sequence = new Float32Array((this.length + 1) * this.dim);
    sequence.set(history.data);
    this.sequence = new ort.Tensor('float32', sequence, [this.length + 1, this.dim]);
    this.row = this.empty([1, this.dim]);
    if (sessions.user) {
      // Outputs and inputs of the same memory: the runtime writes the cache where the next pass reads it.
      this.cache = {};
      for (const {name, shape} of sessions.user.outputMetadata) {
        if (name !== 'y') this.cache[name] = this.empty(shape);
      }
    }
    this.batches = new Map();
    this.warmed = new Set();
  }

  empty(shape) {
    return new this.ort.Tensor('float32', new Float32Array(shape.reduce((a, b) => a * b, 1)), shape);
  }

  candidate(i) {
    const at = (i % this.count) * this.dim;
    return this.candidates.subarray(at, at + this.dim);
  }

  /** Candidates 0 .. n-1 as one batch, the file's candidates again and again; made once per n. */
  batch(n) {
    if (!this.batches.has(n)) {
      const x = this.empty([n, this.dim]);
      for (let i = 0; i < n; ++i) x.data.set(this.candidate(i), i * this.dim);
      this.batches.set(n, {x, y: this.empty([n, this.dim])});
    }
    return this.batches.get(n);
  }

  error(outputs, first, n) {
    let worst = 0;
    for (let i = 0; i < n; ++i) {
      const at = ((first + i) % this.count) * this.dim;
      for (let j = 0; j < this.dim; ++j) {
        const difference = Math.abs(outputs[i * this.dim + j] - this.reference[at + j]);
        // A NaN is the worst of errors, and JSON has none.
        worst = Math.max(worst, Number.isFinite(difference) ? difference : Number.MAX_VALUE);
      }
    }
    return worst;
  }

  /**
   * Runs a pass before its first timing, twice: the first run teaches the runtime what memory the shape needs, the
   * second allocates it.
   */
  async warm(what, n) {
    const key = what === 'candidates' ? `${what} ${n}` : what;
    if (this.warmed.has(key)) return;
    this.warmed.add(key);
    for (let i = 0; i < 2; ++i) {
      if (what === 'naive') await this.naive(1);
      if (what === 'user') await this.user();
      if (what === 'candidates') await this.candidatePass(n);
    }
  }

  async user() {
    const start = process.hrtime.bigint();
    await this.sessions.user.run({x: this.history}, {y: this.row, ...this.cache});
    return {seconds: Number(process.hrtime.bigint() - start) / 1e9, error: null};
  }

  async candidatePass(n) {
    const {x, y} = this.batch(n);
    const start = process.hrtime.bigint();
    await this.sessions.candidates.run({x, ...this.cache}, {y});
    const seconds = Number(process.hrtime.bigint() - start) / 1e9;
    return {seconds, error: this.error(y.data, 0, n)};
  }

  async shared(n) {
    this.batch(n);
    const {seconds} = await this.user();
    const rest = await this.candidatePass(n);
    return {seconds: seconds + rest.seconds, error: rest.error};
  }

  async naive(k) {
    let seconds = 0, error = 0;
    for (let i = 0; i < k; ++i) {
      const start = process.hrtime.bigint();
      this.sequence.data.set(this.candidate(i), this.length * this.dim);
      await this.sessions.naive.run({x: this.sequence}, {y: this.row});
      seconds += Number(process.hrtime.bigint() - start) / 1e9;
      error = Math.max(error, this.error(this.row.data, i, 1));
    }
    return {seconds, error};
  }
}
