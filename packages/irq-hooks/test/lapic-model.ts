/**
 * The local APICs of a machine the slow way: every vCPU is asked whether a message is for it. Sets of
 * vectors, no tables, nothing shared with the bus.
 */
export interface ModelLapic {
  id: number;
  mode: "disabled" | "xapic" | "x2apic";
  tpr: number;
  svr: number;
  ldr: number;
  flat: boolean;
  irr: Set<number>;
  isr: Set<number>;
  tmr: Set<number>;
  errors: Set<"send" | "receive">;
  events: Set<string>;
}

const EVENTS: Record<number, string> = { 2: "smi", 4: "nmi", 5: "init", 6: "startup", 7: "extint" };
const EVENT_BITS: Record<string, number> = { smi: 1, nmi: 2, init: 4, startup: 8, extint: 16 };

export class LapicModel {
  readonly lapics: ModelLapic[];
  readonly broadcasts: number[] = [];
  readonly extended: boolean;

  constructor(ids: readonly number[], extended: boolean) {
    this.extended = extended;
    this.lapics = ids.map((id) => ({ ...powerOn(), id, mode: "xapic", events: new Set<string>() }));
  }

  message(upper: number, address: number, data: number): void {
    const bits = (value: number, high: number, low: number) =>
      Number((BigInt(value >>> 0) >> BigInt(low)) & ((1n << BigInt(high - low + 1)) - 1n));
    if (bits(address, 31, 20) !== 0xfee || bits(upper, 7, 0) !== 0) return;
    const level = bits(data, 15, 15) === 1;
    if (level && bits(data, 14, 14) === 0) return;
    let destination = bits(upper, 31, 8) * 256 + bits(address, 19, 12);
    if (this.extended && bits(address, 4, 4) === 0) {
      const more = BigInt(bits(address, 11, 5)) << 8n;
      destination = Number(BigInt(destination) | more);
    }
    const mode = bits(data, 10, 8);
    if (mode === 6) return;
    const found = this.lapics.filter((l) => isFor(l, destination, bits(address, 2, 2) === 1));
    this.#post(found, bits(address, 3, 3) === 1, mode, bits(data, 7, 0), level);
  }

  command(sender: number, low: number, destination: number): void {
    const self = this.lapics[sender]!;
    const mode = (low >>> 8) & 7;
    const vector = low & 0xff;
    if (mode === 3 || mode === 7) return;
    if (mode === 5 && (low & 0xc000) === 0x8000) return;
    if (mode < 2 && vector < 16) self.errors.add("send");
    const wide = self.mode === "xapic" && destination === 0xff ? 0xffff_ffff : destination;
    const enabled = this.lapics.filter((l) => l.mode !== "disabled");
    const found = [
      this.lapics.filter((l) => isFor(l, wide, (low & 0x800) !== 0)),
      [self],
      enabled,
      enabled.filter((l) => l !== self),
    ][(low >>> 18) & 3]!;
    this.#post(found, false, mode, vector, false);
  }

  pending(vcpu: number): number {
    const l = this.lapics[vcpu]!;
    if (l.mode === "disabled" || (l.svr & 0x100) === 0) return -1;
    const highest = Math.max(-1, ...l.irr);
    return Math.floor(highest / 16) > Math.floor(ppr(l) / 16) ? highest : -1;
  }

  accept(vcpu: number): number {
    const vector = this.pending(vcpu);
    if (vector >= 0) {
      this.lapics[vcpu]!.irr.delete(vector);
      this.lapics[vcpu]!.isr.add(vector);
    }
    return vector;
  }

  eoi(vcpu: number): void {
    const l = this.lapics[vcpu]!;
    const vector = Math.max(-1, ...l.isr);
    l.isr.delete(vector);
    if (l.tmr.has(vector) && (l.svr & 0x1000) === 0) this.broadcasts.push(vector);
  }

  initialize(vcpu: number): void {
    Object.assign(this.lapics[vcpu]!, powerOn());
  }

  takeEvents(vcpu: number): number {
    const l = this.lapics[vcpu]!;
    const taken = [...l.events].reduce((sum, event) => sum + EVENT_BITS[event]!, 0);
    l.events.clear();
    return taken;
  }

  #post(
    found: ModelLapic[],
    redirect: boolean,
    mode: number,
    vector: number,
    level: boolean,
  ): void {
    let targets = found;
    if (found.length > 1 && (redirect || mode === 1)) {
      const able = found.filter((l) => mode >= 2 || (l.svr & 0x100) !== 0);
      const lowest = Math.min(...able.map((l) => Math.floor(ppr(l) / 16)));
      targets = this.lapics
        .filter((l) => able.includes(l) && Math.floor(ppr(l) / 16) === lowest)
        .slice(0, 1);
    }
    for (const target of targets) post(target, mode, vector, level);
  }
}

export function ppr(l: ModelLapic): number {
  const inService = Math.max(0, ...l.isr);
  if (Math.floor(l.tpr / 16) >= Math.floor(inService / 16)) return l.tpr;
  return Math.floor(inService / 16) * 16;
}

function powerOn() {
  return {
    tpr: 0,
    svr: 0xff,
    ldr: 0,
    flat: true,
    irr: new Set<number>(),
    isr: new Set<number>(),
    tmr: new Set<number>(),
    errors: new Set<"send" | "receive">(),
  };
}

function isFor(l: ModelLapic, destination: number, logical: boolean): boolean {
  if (l.mode === "disabled") return false;
  if (destination === 0xffff_ffff) return true;
  if (l.mode === "x2apic") {
    if (!logical) return destination === l.id;
    const cluster = Math.floor(l.id / 16);
    const member = 2 ** (l.id % 16);
    return Math.floor(destination / 65_536) === cluster && (destination & member) !== 0;
  }
  if (destination === 0xff) return true;
  if (!logical) return destination === l.id;
  if (destination > 0xff) return false;
  if (l.flat) return (l.ldr & destination) !== 0;
  return l.ldr >> 4 === destination >> 4 && (l.ldr & destination & 15) !== 0;
}

function post(l: ModelLapic, mode: number, vector: number, level: boolean): void {
  const enabled = (l.svr & 0x100) !== 0;
  if (mode >= 2) {
    if (mode === 3 || (mode === 7 && !enabled)) return;
    l.events.add(EVENTS[mode]!);
    return;
  }
  if (!enabled) return;
  if (vector < 16) {
    l.errors.add("receive");
    return;
  }
  if (level) l.tmr.add(vector);
  else l.tmr.delete(vector);
  l.irr.add(vector);
}
