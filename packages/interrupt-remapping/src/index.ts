export { InterruptRemappingEngine } from "./engine.ts";
export type { InterruptFaultReporter, InterruptRemappingOptions } from "./engine.ts";
export { ioApicMessage } from "./io-apic.ts";

// For those who explain an answer step by step
export {
  INDEX_RESERVED,
  interruptIndex,
  isInterruptAddress,
  isRemappable,
} from "./request-format.ts";
export { verifySource } from "./source-id.ts";
