// Records what a guest and a device do to a unit, replays it on other units, and explains an event.
import { createMemory } from "@viommu/memory";
import { Access, DmaRequest } from "@viommu/plugin";
import { explainEvent, isClean, packTrace, readTrace, Recorder, replayTrace } from "@viommu/trace";
import { createProfile, createUnit } from "@viommu/vtd";

const profile = createProfile({ addressWidths: [39], faultRecords: 1 });
const memory = createMemory({ regions: [{ base: 0, size: 0x100000 }] });
const sink = { deliver: (): void => undefined };

// The recorder stands between the unit and its machine, on both sides.
const recorder = new Recorder({
  header: {
    name: "example",
    guest: { os: "by hand", version: "", vcpus: 1, cmdline: "" },
    reference: { name: "viommu", version: "" },
    unit: {
      base: 0xfed9_0000n,
      cap: profile.cap,
      ecap: profile.ecap,
      ver: profile.version,
      addressWidth: 39,
    },
    devices: [{ sid: 0x0010, name: "nic" }],
    ioapic: undefined,
    workload: "one page is mapped, and two are read",
  },
  memory,
  sink,
});
const around = { memory: recorder.memory, sink: recorder.sink };
const unit = recorder.record(createUnit({ name: "dmar0", base: 0xfed9_0000, profile, ...around }));

// The guest: root entry, context entry, three levels of tables; then RTADDR, SRTP, TE.
const tables = [0x1000, 0x2001, 0x2100, 0x3001, 0x2108, 0x101, 0x3000, 0x4003, 0x4000, 0x5003];
for (let i = 0; i < tables.length; i += 2) memory.write32(tables[i]!, tables[i + 1]!);
memory.write32(0x5038, 0x9001); // page 7 is page 9, read only
unit.write(0x20, 8, 0x1000, 0);
unit.write(0x18, 4, 1 << 30, 0);
unit.write(0x18, 4, 1 << 31, 0);

// The device.
const request = new DmaRequest();
request.sourceId = 0x0010;
request.lo = 0x7abc;
for (const access of [Access.READ, Access.WRITE]) {
  request.access = access;
  console.log("recorded:", unit.dma.translate(request));
}

const trace = await readTrace(await packTrace(recorder.finish()));

const report = replayTrace(trace);
console.log(
  `replayed: ${report.dma.equal} of ${report.dma.total} requests, all equal: ${isClean(report)}`,
);

const { steps, verdict } = explainEvent(trace, 6); // the second request
for (const { name, note } of steps.filter((step) => step.note !== ""))
  console.log(`${name}: ${note}`);
console.log(verdict);

/* prints:
recorded: 0
recorded: 5
replayed: 2 of 2 requests, all equal: true
root entry of bus 0x00: context table at 0x2000
context entry of 00:02.0: second-stage tables at 0x3000
second-stage entry, level 3: leaves the right to read and write; next table at 0x4000
second-stage entry, level 2: leaves the right to read and write; next table at 0x5000
second-stage entry, level 1: leaves the right to read
fault 05h (a write or atomic without write permission): level 1 denies a write
*/
