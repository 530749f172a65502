"""The parts MetaAug is made of; each file is one part."""
