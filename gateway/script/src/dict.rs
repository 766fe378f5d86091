pub struct Dict;
