import js from "@eslint/js";
import tseslint from "typescript-eslint";

/** Files on the hot path: no bigint, no Atomics, no closures per instance (design rule: ints only). */
const HOT = ["packages/translation/src/**/*.ts", "packages/interrupt-remapping/src/**/*.ts"];

export default tseslint.config(
  {
    ignores: [
      "**/dist/**",
      "docs/api/**",
      "**/node_modules/**",
      "**/*.cjs",
      "fixtures/**",
      ".turbo/**",
    ],
  },
  js.configs.recommended,
  {
    files: ["**/*.ts"],
    extends: [...tseslint.configs.strictTypeChecked, ...tseslint.configs.stylisticTypeChecked],
    languageOptions: {
      parserOptions: { project: "./tsconfig.check.json", tsconfigRootDir: import.meta.dirname },
    },
    rules: {
      "@typescript-eslint/no-invalid-void-type": ["error", { allowAsThisParameter: true }],
      "@typescript-eslint/switch-exhaustiveness-check": "error",
      "@typescript-eslint/consistent-type-imports": "error",
      "@typescript-eslint/restrict-template-expressions": [
        "error",
        { allowNumber: true, allowBoolean: true },
      ],
      // Bit work: typed-array reads are `number | undefined` under noUncheckedIndexedAccess.
      "@typescript-eslint/no-non-null-assertion": "off",
      "@typescript-eslint/prefer-for-of": "off",
      "no-restricted-syntax": [
        "error",
        {
          selector:
            "CallExpression[callee.object.name='BigInt'][callee.property.name=/^as(U)?intN$/i]",
          message: "BigInt.asUintN/asIntN in a loop can abort Node 20; mask with & instead.",
        },
      ],
    },
  },
  {
    files: ["packages/*/src/**/*.ts"],
    rules: { "@typescript-eslint/explicit-module-boundary-types": "error" },
  },
  {
    files: HOT,
    rules: {
      "no-restricted-globals": ["error", "BigInt", "Atomics"],
    },
  },
  {
    files: ["**/*.mjs", "**/*.js"],
    languageOptions: {
      globals: {
        process: "readonly",
        console: "readonly",
        URL: "readonly",
        Buffer: "readonly",
        performance: "readonly",
        setTimeout: "readonly",
        globalThis: "readonly",
      },
    },
  },
);
