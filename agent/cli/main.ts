#!/usr/bin/env node
/** The agent's command line. Answers go to standard output, everything else to standard error. */
import { runCli } from '#agent/cli/program.js';

process.exitCode = await runCli(process.argv);
