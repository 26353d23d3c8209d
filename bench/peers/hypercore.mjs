// Append blocks to a fresh hypercore, a batch at a time, and print how many milliseconds that took.
//
// node hypercore.mjs MODULES FOLDER ENTRIES COUNT BATCH
// ENTRIES holds blocks, each behind its length as two big-endian bytes; they are read before anything is measured, and
// begun anew where COUNT is larger.
//
// Source: hypercore's README (`core.append` takes a block or an array of them).

import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'

const [modules, folder, entries, count, batch] = process.argv.slice(2)
const require = createRequire(join(modules, 'node_modules', 'here.js'))
const Hypercore = require('hypercore')

const raw = readFileSync(entries)
const blocks = []
for (let at = 0; at < raw.length; ) {
  const end = at + 2 + raw.readUInt16BE(at)
  blocks.push(raw.subarray(at + 2, end))
  at = end
}

const batches = []
for (let at = 0; at < Number(count); at += Number(batch)) {
  const some = []
  for (let index = at; index < Math.min(Number(count), at + Number(batch)); index++) some.push(blocks[index % blocks.length])
  batches.push(some)
}

const core = new Hypercore(folder)
await core.ready()
const began = process.hrtime.bigint()
for (const some of batches) await core.append(some)
const tookMs = Number(process.hrtime.bigint() - began) / 1e6
if (core.length !== Number(count)) throw new Error('not all blocks were appended')
console.log(tookMs)
await core.close()
