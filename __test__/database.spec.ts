import { databaseContract } from './contract/database.contract.js'
import { directoryHome, memoryHome } from './helpers/home.js'

databaseContract(directoryHome)
databaseContract(memoryHome)
