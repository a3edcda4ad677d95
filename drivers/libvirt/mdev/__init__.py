"""Mediated devices (vGPUs): one provider a physical GPU, by ``[devices] enabled_mdev_types``.

config.py      the options and the dynamic groups [mdev_TYPE]: which type each GPU is to have
node_device.py node device XML → GPUs and the mediated devices that exist
inventory.py   GPUs, devices and configuration → how many each GPU provides
reshape.py     allocations of VGPU from the compute node to the GPUs that the instances really use
part.py        puts it into the tree
"""
