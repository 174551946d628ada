// node rp2040js_run.mjs FOLDER: runs what stdin describes in the rp2040js of a folder with node_modules, until BKPT 0.
import { createRequire } from "node:module";
const { RP2040 } = createRequire(process.argv[2] + "/")("rp2040js");
let text = "";
for await (const part of process.stdin) text += part;
const job = JSON.parse(text);
const chip = new RP2040();
for (const [address, hex] of job.chunks)
  (address >= 0x20000000 ? chip.sram : chip.flash).set(Buffer.from(hex, "hex"), address & 0xffffff);
[chip.core.SP, chip.core.PC, chip.core.VTOR] = [job.sp, job.pc, job.vtor];
let done = false;
chip.onBreak = () => (done = true);
for (let i = 0; i < 1000000 && !done; i++) chip.step();
console.log(JSON.stringify({ done, cycles: chip.core.cycles, r0: chip.core.registers[0] >>> 0 }));
