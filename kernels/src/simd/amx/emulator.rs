pub fn install() -> bool {
    false
}
