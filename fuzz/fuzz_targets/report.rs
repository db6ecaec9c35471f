//! Files of `hotrow bench`, arbitrary or good ones with some bytes changed: an error, or a page and Markdown.
#![no_main]

use hotrow_cli::report;
use hotrow_fuzz::changed;
use libfuzzer_sys::fuzz_target;

const RESULT: &[u8] = br#"{"schema":1,"kind":"hotrow-bench-result","workload":"w","engine":"e","variant":"v","device":"cpu",
"seed":1,"curve":[[1.0,10,null,2.5],[3.0,20,0.31,null]],"target":{"metric":"p@1","value":0.3,"reached":true,"seconds":3.0},
"metrics":{"p@1":0.31},"steps":20,"flops":{"executed":100,"dense_equivalent":400},"phases":{"gemm":{"seconds":2.5}}}"#;
const ROOFLINE: &[u8] = br#"{"schema":1,"kind":"hotrow-bench-roofline","peak":[{"level":"a","dtype":"b","gflops":9}],
"bandwidth_bytes_per_second":2e9,"kernels":[{"name":"k","level":"a","dtype":"b","flops_per_byte":0.5,"gflops":8}]}"#;
const BREAKEVEN: &[u8] = br#"{"schema":1,"kind":"hotrow-bench-breakeven","rows":[{"level":"a","dtype":"b","shape":"s",
"density":0.1,"sampled_seconds":1,"dense_seconds":2}],"rule":{"packed_from":0.25,"measured":[0.2,0.3],"worst_factor":1.5}}"#;
const SCALE: &[u8] =
    br#"{"schema":1,"kind":"hotrow-bench-scale","rows":[{"axis":"x","value":9,"contender":"c","seconds":2}]}"#;

fuzz_target!(|data: &[u8]| {
    let Some((&first, bytes)) = data.split_first() else { return };
    let good = [RESULT, ROOFLINE, BREAKEVEN, SCALE].get(usize::from(first % 5));
    let bytes = good.map_or(bytes.to_vec(), |good| changed(good, bytes));
    if let Ok(report) = report::from_json("fuzzed.json".as_ref(), &bytes) {
        assert!(report::html(&report).ends_with("</html>\n"));
        assert!(report::markdown(&report, None).starts_with("# "));
    }
});
