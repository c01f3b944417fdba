import { ApicError, ApicMode, SVR_SUPPRESS_EOI, Word } from "./vlapic-array.ts";
import type { LapicBus } from "./vlapic-bus.ts";
import { sendCommand, Shorthand } from "./interrupt-command.ts";

/** Register numbers that are no word of the state (xAPIC offset >> 4, MSR - 800h). */
const Register = {
  ID: 0x02,
  VERSION: 0x03,
  APR: 0x09,
  EOI: 0x0b,
  RRD: 0x0c,
  LVT_FIRST: 0x32,
  LVT_LAST: 0x37,
  INITIAL_COUNT: 0x38,
  CURRENT_COUNT: 0x39,
  DIVIDE: 0x3e,
  SELF_IPI: 0x3f,
} as const;

/** Who may do what with a register: the xAPIC page (X), the MSRs of x2APIC mode (M), read, write. */
const XR = 1;
const XW = 2;
const MR = 4;
const MW = 8;

/** SDM vol. 3, tables 11-1 and 11-6: first register, last register, access. */
const ACCESS: readonly (readonly [number, number, number])[] = [
  [Register.ID, Register.VERSION, XR | MR],
  [Word.TPR, Word.TPR, XR | XW | MR | MW],
  [Register.APR, Register.APR, XR],
  [Word.PPR, Word.PPR, XR | MR],
  [Register.EOI, Register.EOI, XW | MW],
  [Register.RRD, Register.RRD, XR],
  [Word.LDR, Word.LDR, XR | XW | MR],
  [Word.DFR, Word.DFR, XR | XW],
  [Word.SVR, Word.SVR, XR | XW | MR | MW],
  [Word.ISR, Word.IRR + 7, XR | MR],
  [Word.ESR, Word.ESR, XR | XW | MR | MW],
  [Word.ICR, Word.ICR, XR | XW | MR | MW],
  [Word.ICR_HIGH, Word.ICR_HIGH, XR | XW],
  [Register.LVT_FIRST, Register.INITIAL_COUNT, XR | XW | MR | MW],
  [Register.CURRENT_COUNT, Register.CURRENT_COUNT, XR | MR],
  [Register.DIVIDE, Register.DIVIDE, XR | XW | MR | MW],
  [Register.SELF_IPI, Register.SELF_IPI, MW],
];

/** Version 14h (an integrated APIC), highest LVT entry 5 (SDM vol. 3, 11.4.8). */
const VERSION = 0x0005_0014;
const VERSION_SUPPRESS_EOI = 0x0100_0000;
const LVT_MASKED = 0x0001_0000;

const MSR_APIC_BASE = 0x1b;
const MSR_X2APIC = 0x800;
const BASE_BSP = 0x100;
const BASE_EXTENDED = 0x400;
const BASE_ENABLED = 0x800;
const BASE_ADDRESS = 0xfee0_0000;

/** Bits of ICR that are not reserved in x2APIC mode (SDM vol. 3, 11.12.9). */
const ICR_BITS = 0x000c_cfff;

/**
 * The registers of the vLAPICs, as a CPU model or a guest driver reaches them: the MSRs, and the
 * page of xAPIC mode. Timer and local vector table are not modelled: they read as masked and idle,
 * and writing them has no effect. The page cannot be moved.
 */
export class LapicRegisters {
  readonly #bus: LapicBus;
  readonly #access = new Uint8Array(64);

  constructor(bus: LapicBus) {
    this.#bus = bus;
    for (const [first, last, access] of ACCESS) this.#access.fill(access, first, last + 1);
  }

  /** Reads a dword of the xAPIC page; 0 where there is no register, and in the other modes. */
  readMmio(vcpu: number, offset: number): number {
    if (!this.#reachable(vcpu, offset)) return 0;
    const register = offset >>> 4;
    if ((this.#access[register]! & XR) === 0) return 0;
    if (register === Register.ID) return (this.#bus.apicId(vcpu) & 0xff) << 24;
    return this.#read(vcpu, register);
  }

  /** Writes a dword of the xAPIC page. What cannot be written is ignored. */
  writeMmio(vcpu: number, offset: number, value: number): void {
    if (!this.#reachable(vcpu, offset)) return;
    const register = offset >>> 4;
    if ((this.#access[register]! & XW) === 0) return;
    const { words } = this.#bus.lapics;
    const base = this.#bus.lapics.base(vcpu);
    if (register === Word.LDR) this.#bus.setLogicalId(vcpu, value);
    else if (register === Word.DFR) words[base + register] = value | 0x0fff_ffff;
    else if (register === Word.ICR_HIGH) words[base + register] = value & 0xff00_0000;
    else if (register === Word.ICR) this.#command(vcpu, value, words[base + Word.ICR_HIGH]!);
    else this.#write(vcpu, register, value);
  }

  /** RDMSR of 1Bh and 800h to 8FFh: `out[0]` bits 31:0, `out[1]` bits 63:32. False: #GP. */
  readMsr(vcpu: number, msr: number, out: Int32Array): boolean {
    out[1] = 0;
    if (msr === MSR_APIC_BASE) {
      out[0] = BASE_ADDRESS | (vcpu === 0 ? BASE_BSP : 0) | modeBits(this.#bus.lapics.mode(vcpu));
      return true;
    }
    const register = msr - MSR_X2APIC;
    if (!this.#allowed(vcpu, register, MR)) return false;
    if (register === Register.ID) out[0] = this.#bus.apicId(vcpu);
    else if (register === Word.LDR) out[0] = logicalId(this.#bus.apicId(vcpu));
    else out[0] = this.#read(vcpu, register);
    const { words } = this.#bus.lapics;
    if (register === Word.ICR) out[1] = words[this.#bus.lapics.base(vcpu) + Word.ICR_HIGH]!;
    return true;
  }

  /** WRMSR of 1Bh and 800h to 8FFh. False: #GP, nothing is written. */
  writeMsr(vcpu: number, msr: number, low: number, high: number): boolean {
    if (msr === MSR_APIC_BASE) return this.#switchMode(vcpu, low);
    const register = msr - MSR_X2APIC;
    if (!this.#allowed(vcpu, register, MW)) return false;
    if (register === Word.ICR) {
      if ((low & ~ICR_BITS) !== 0) return false;
      this.#bus.lapics.words[this.#bus.lapics.base(vcpu) + Word.ICR_HIGH] = high;
      this.#command(vcpu, low, high);
      return true;
    }
    if (high !== 0 || (low & this.#reserved(register)) !== 0) return false;
    if (register === Register.SELF_IPI) sendCommand(this.#bus, vcpu, low | Shorthand.SELF, 0);
    else this.#write(vcpu, register, low);
    return true;
  }

  #reachable(vcpu: number, offset: number): boolean {
    if (this.#bus.lapics.mode(vcpu) !== ApicMode.XAPIC || (offset & 0xf) !== 0) return false;
    if (((this.#access[offset >>> 4] ?? 0) & (XR | XW)) !== 0) return true;
    this.#bus.lapics.recordError(vcpu, ApicError.REGISTER);
    return false;
  }

  #allowed(vcpu: number, register: number, access: number): boolean {
    if (this.#bus.lapics.mode(vcpu) !== ApicMode.X2APIC) return false;
    return ((this.#access[register] ?? 0) & access) !== 0;
  }

  /** Bits whose setting is a #GP in x2APIC mode (SDM vol. 3, 11.12.1.2 and 11.12.1.3). */
  #reserved(register: number): number {
    switch (register) {
      case Word.TPR:
      case Register.SELF_IPI:
        return ~0xff;
      case Word.SVR:
        return ~this.#svrBits();
      case Register.EOI:
      case Word.ESR:
        return -1;
      default:
        return 0;
    }
  }

  #svrBits(): number {
    return 0x1ff | (this.#bus.suppressEoiBroadcast ? SVR_SUPPRESS_EOI : 0);
  }

  #read(vcpu: number, register: number): number {
    if (register === Register.VERSION) {
      return VERSION | (this.#bus.suppressEoiBroadcast ? VERSION_SUPPRESS_EOI : 0);
    }
    if (register >= Register.LVT_FIRST && register <= Register.LVT_LAST) return LVT_MASKED;
    if (register > Register.LVT_LAST || register === Register.APR || register === Register.RRD) {
      return 0;
    }
    return this.#bus.lapics.words[this.#bus.lapics.base(vcpu) + register]!;
  }

  #write(vcpu: number, register: number, value: number): void {
    const { lapics } = this.#bus;
    const base = lapics.base(vcpu);
    if (register === Word.TPR) lapics.setTpr(vcpu, value);
    else if (register === Register.EOI) this.#bus.eoi(vcpu);
    else if (register === Word.SVR) lapics.words[base + Word.SVR] = value & this.#svrBits();
    else if (register === Word.ESR) {
      lapics.words[base + Word.ESR] = lapics.words[base + Word.ESR_NEXT]!;
      lapics.words[base + Word.ESR_NEXT] = 0;
    }
  }

  #command(vcpu: number, low: number, high: number): void {
    this.#bus.lapics.words[this.#bus.lapics.base(vcpu) + Word.ICR] = low & ICR_BITS;
    sendCommand(this.#bus, vcpu, low, high);
  }

  /** The transitions of SDM vol. 3, figure 11-27; the others are a #GP. */
  #switchMode(vcpu: number, low: number): boolean {
    const wanted = low & (BASE_ENABLED | BASE_EXTENDED);
    const mode = this.#bus.lapics.mode(vcpu);
    if (wanted === modeBits(mode)) return true;
    const step =
      wanted === 0 ||
      (wanted === BASE_ENABLED && mode === ApicMode.DISABLED) ||
      (wanted === (BASE_ENABLED | BASE_EXTENDED) && mode === ApicMode.XAPIC);
    if (step) this.#bus.setMode(vcpu, modeOf(wanted));
    return step;
  }
}

function modeBits(mode: number): number {
  if (mode === ApicMode.DISABLED) return 0;
  return mode === ApicMode.X2APIC ? BASE_ENABLED | BASE_EXTENDED : BASE_ENABLED;
}

function modeOf(bits: number): number {
  if (bits === 0) return ApicMode.DISABLED;
  return bits === BASE_ENABLED ? ApicMode.XAPIC : ApicMode.X2APIC;
}

/** SDM vol. 3, 11.12.10.2. */
function logicalId(apicId: number): number {
  return ((apicId >>> 4) << 16) | (1 << (apicId & 0xf));
}
