export {
  FAULT_REASONS,
  FaultReason,
  faultReason,
  isQualified,
  type FaultReasonCode,
  type FaultReasonInfo,
  type FaultReasonName,
} from "./fault-reasons.ts";
export type { Capabilities, CapabilityName, Field, FieldName, Layout } from "./layout.ts";
export {
  bits,
  decode,
  encode,
  fromQwords,
  reservedMask,
  toQwords,
  type FieldBits,
} from "./codec.ts";
export {
  decodeCapabilities,
  domainIdWidth,
  encodeCapabilities,
  maxGuestAddressWidth,
} from "./capabilities.ts";
export { CAP, ECAP } from "./registers-capability.ts";
export { Offset } from "./offsets.ts";
