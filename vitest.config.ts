import { defineConfig } from "vitest/config";

const conditions = ["@viommu/source", "import", "module", "default"];

/** One run over all packages, from source: no build is needed before `npm test`. */
export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions, externalConditions: conditions } },
  test: {
    include: [
      "packages/*/test/**/*.test.ts",
      "apps/*/test/**/*.test.ts",
      "scenarios/**/*.test.ts",
      "examples/**/*.test.ts",
      "test/**/*.test.ts",
    ],
    pool: "threads",
    isolate: false,
    maxWorkers: "100%", // else one of two cores is left out
    testTimeout: 120_000,
    typecheck: {
      enabled: true,
      include: ["packages/*/test/**/*.test-d.ts"],
      tsconfig: "./tsconfig.check.json",
      // errors outside the type tests are the business of `npm run typecheck`
      ignoreSourceErrors: true,
    },
  },
});
