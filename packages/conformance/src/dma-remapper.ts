import { checksOf } from "./check.ts";
import type { Check } from "./check.ts";
import { answerRequirements } from "./dma-answers.ts";
import { drainRequirements } from "./dma-drain.ts";
import { mappingRequirements } from "./dma-mappings.ts";
import { probeRequirements } from "./dma-probe.ts";
import { RemapperUnderTest } from "./remapper-under-test.ts";
import type { DmaRemapperHarness } from "./remapper-under-test.ts";

/**
 * Whether a remapper of DMA keeps the contract of the port: any request gets an answer, answers are
 * complete and true for their whole range, `probe` has no effect, invalidations drain.
 */
export function dmaRemapperConformance(make: () => DmaRemapperHarness): readonly Check[] {
  const mappings = mappingRequirements().map((requirement) => ({
    ...requirement,
    applies: (remapper: RemapperUnderTest) => remapper.mappings !== null,
  }));
  return checksOf(
    () => new RemapperUnderTest(make()),
    [...answerRequirements(), ...probeRequirements(), ...mappings, ...drainRequirements()],
  );
}
